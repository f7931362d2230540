"""What this node holds and knows: its store, the registry of the cluster, its map of shards, its clock.

Begin with `local_state.py`, which puts the parts together. Every record enters the store through
`record_writer.py`. `registry.py` makes the view of the cluster from the records of the system group.
"""
