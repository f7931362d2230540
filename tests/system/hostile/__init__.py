"""What strangers send to harm a node: bytes that are no HTTP/2, no messages, or lies."""
