"""The models of what is outside a node."""
