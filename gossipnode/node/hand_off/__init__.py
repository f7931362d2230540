"""Moves shards when members come and go: fills new replicas, settles, gives old copies up.

Begin with `hand_off.py`, which names the three steps and repeats them until each has succeeded.
"""
