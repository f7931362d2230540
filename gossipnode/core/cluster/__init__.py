"""Members and groups: which members hold a shard, and when enough of them have answered.

Begin with `placement.py`. `tally.py` counts the answers of replicas; `view.py` is what a node knows of its
cluster. It is made from the value of an epoch, in `cluster_metadata.py`; `changes.py` has the rules by which
that value changes, and `settings_check.py` holds configurations against it.

When a majority of the members is gone, `recovery.py` makes the first value of another cluster.

How the members decide their next epoch is in `deciding/`: what they say in `epoch_messages.py`, what a voter
may answer in `acceptor.py`, and one attempt to have a value decided in `proposer.py`. How they notice that a
store went back in time is in `boots.py`.
"""
