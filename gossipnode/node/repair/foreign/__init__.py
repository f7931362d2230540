"""Foreign holders of a round's message, which report nothing: an own node sees what becomes of their turns.

`foreign_witness.py` is the node that they meet, `foreign_holders.py` the one that asks it.
"""
