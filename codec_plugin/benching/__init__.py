"""`bench`: how fast a film is decoded, filled and encoded here, and the whole job; each beside its floor."""
