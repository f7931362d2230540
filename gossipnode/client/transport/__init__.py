"""The one seam between the client library and a network, for Trio and for asyncio."""
