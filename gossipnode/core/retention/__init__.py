"""When a tombstone may go, and what keeps a deleted record from coming back after that.

Begin with `marks.py`: what a replica keeps for each shard, and which records it refuses by that. `meeting.py`
is what two replicas do before they exchange records, and `purge_round.py` how a mark is proven.
"""
