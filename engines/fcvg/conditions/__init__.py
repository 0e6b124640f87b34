"""Condition pictures: what is known of the frames between two others, drawn. Lines so far, without any weights."""
