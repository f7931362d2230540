"""Records that are written in bulk."""
