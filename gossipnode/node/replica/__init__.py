"""This node as a replica: it answers the reads, writes and searches of coordinators."""
