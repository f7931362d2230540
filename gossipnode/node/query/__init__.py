"""Queries over the whole cluster: searches of all replicas, merged into one answer.

Begin with `queries.py`, which goes from the query to the records of its answer. `merge.py` merges the
candidates of the replicas and decides which are certain; `candidate_streams.py` brings them here.
"""
