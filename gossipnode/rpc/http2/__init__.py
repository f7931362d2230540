"""gRPC's HTTP/2, without h2: the pure state of a connection, and what moves its bytes.

Begin with `connection.py` (bytes in, state and bytes out) and its two roles, `client_connection.py` and
`server_connection.py`. Only two modules import Trio: `waiting.py`, where tasks wait for that state, and
`driver.py`, which runs a connection over a Trio stream.
"""
