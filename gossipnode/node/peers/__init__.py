"""The other members: a channel and a stream of requests to each, hellos, and who may call."""
