"""Rounds of repair: tree sessions over streams, the holder of messages, the origin, the schedule.

Begin with `repair.py`, which puts the parts together, then `holder.py`, which moves a round on.
`repair_stream.py` drives one session. What a message means, and when a round is over, is decided in
`core.session` and `core.ring`.
"""
