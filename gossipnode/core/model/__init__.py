"""What is replicated: properties, their versions and tag values; errors and limits of the core."""
