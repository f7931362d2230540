"""Members and groups: which members hold a shard, and when enough of them have answered.

Begin with `placement.py`. `tally.py` counts the answers of replicas; `view.py` is what a node knows of its
cluster, and `registry_records.py` makes it from records.
"""
