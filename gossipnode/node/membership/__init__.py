"""Which members and which groups there are: how that is decided, spread to all members, and compared.

Begin with `membership.py`, which puts the parts together. `boot.py` finds this node's cluster when it
starts, and `forming.py` forms a new one. `member_admin.py` and `group_admin.py` make changes, `epochs.py` has
them decided by a majority, and `epoch_news.py` keeps the members' epochs alike.
"""
