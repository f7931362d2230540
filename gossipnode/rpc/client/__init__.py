"""The client: a channel that dials when it must, and the calls over it."""
