"""Bytes to core values and back. The only importer of protobuf and betterproto."""
