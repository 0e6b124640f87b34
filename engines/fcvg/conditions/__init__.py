"""Condition pictures: what is known of the frames between two others, drawn. Lines, and people over them."""
