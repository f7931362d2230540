"""Every rule of the protocol, as pure decisions: no await, no I/O, no clock, no random number of its own.

`model` is what is replicated. Over it stand `session` (two replicas compare and repair), `ring` (which
replica repairs next, and what came of a round), `cluster` (which members hold a shard) and `query` (what a
search means). DESIGN.md says why a rule stands here. The core imports the standard library and xxhash alone.
"""
