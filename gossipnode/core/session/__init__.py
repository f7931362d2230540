"""Both sides of a tree session, and the tree that they compare."""
