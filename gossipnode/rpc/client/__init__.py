"""The client: one channel to one peer, which dials when it is needed.

Begin with `channel.py`. `dialing.py` keeps the connection, and `client_stream.py` is a call of many messages.
"""
