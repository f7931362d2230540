"""The library for programs that talk to a node."""
