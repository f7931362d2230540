"""The other members: a channel and a stream of requests to each, hellos, and which calls are let in.

Begin with `members.py`, which keeps a `Peer` for each member. `exchange_link.py` sends the requests of
coordinators to one peer, `hello.py` learns how each peer is, and `access.py` judges every call that comes in.
"""
