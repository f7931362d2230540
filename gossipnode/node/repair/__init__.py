"""Rounds: sessions over streams, the holder of messages, the origin and its schedule."""
