"""A reconcile session: two of our own nodes find what differs in a shard, and exchange it.

Begin with `item_index.py`, which says what is compared. `reconcile_messages.py` is what the two sides say,
`reconcile_walk.py` how they find what differs, `reconcile_dues.py` what they owe each other for it. The two
sides are in `reconcile_sides.py`, and what they have in common in `reconcile_side.py`. A client that only
looks at what differs is in `survey_client.py`.
"""
