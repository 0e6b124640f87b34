"""Rate and distortion: what thinning and restoring save, at what loss, against the full rate."""
