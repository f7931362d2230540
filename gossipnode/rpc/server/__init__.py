"""The server: connections from listeners, calls to handlers, the health service.

Begin with `server.py`. `answer.py` runs one call, and `calls.py` is what its handler sees of it.
"""
