"""Bytes to core values and back; the only importer of protobuf and betterproto.

There is one codec for each family of messages. Begin at `services`, which lists every call with its messages;
DESIGN.md says why there are two protobuf runtimes, and what each costs.
"""
