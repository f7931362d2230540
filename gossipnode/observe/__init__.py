"""What the node lets be seen of itself."""
