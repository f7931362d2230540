"""The request of a client, carried out by the replicas of its record.

Begin with `coordinator.py` for single records and `bulk_writes.py` for many. Both are made of the reads and
writes in `record_steps.py`, which ask all replicas at once by `replica_calls.py`.
"""
