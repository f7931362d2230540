"""This node as a replica: it answers the reads, writes and searches of coordinators, here and elsewhere.

Begin with `replica.py`, which reads and writes this node's own copy. `exchange.py` serves the requests that
another node sends in batches, and `scan.py` serves its searches.
"""
