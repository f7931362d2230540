"""Queries: what a search asks for, how an index could find it, and which of several copies counts.

Begin with `criteria.py` (which records match) and `search.py` (what is asked for, in which order).
`lookup.py` and `index_key.py` are about indexes; `replica_messages.py` and `newest.py` about replicas.
"""
