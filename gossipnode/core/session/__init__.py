"""A tree session: two replicas of a shard compare their trees, and both take what they lack.

Begin with `commands.py`, which says what a caller owes a session. `messages.py` is what the two sides say,
`tree_client.py` and `tree_server.py` are the two sides, and `tree.py` is what they compare. `intake.py` is
what each side does with the records of the other. The files in tests/scenarios/session show whole sessions,
line by line.
"""
