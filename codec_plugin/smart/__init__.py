"""Restoring without encoding the rest: what is cut out, what is put in its place, and the proof that it holds."""
