"""Queries on the wire: their criteria, the search of a replica and its candidates, and the trace.

Begin with `query_codec`, which makes the `Query` of `core.query` from a request.
"""
