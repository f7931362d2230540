"""What this node holds and knows: its store, the newest epoch of its cluster, its map of shards, its clock.

Begin with `local_state.py`, which puts the parts together. Every record enters the store through
`record_writer.py`. `cluster_state.py` keeps the newest epoch, and what this node promised for the next one.
"""
