"""How the client library reaches one node, under Trio and under asyncio.

Begin with `transport_protocol`, the seam that the rest of the library sees. `trio_transport` and
`asyncio_transport` implement it; `transport_choice` picks the one that fits the running library.
"""
