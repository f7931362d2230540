"""A round of repair: its message visits the replicas of a shard along the ring.

Begin with `turn.py`, which says what the holder of the message does. `admission.py` decides which messages a
node takes, and `round.py` is what the origin of a round knows of it.
"""
