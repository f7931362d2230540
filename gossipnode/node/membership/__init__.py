"""Which members and which groups there are: how that is changed, spread to all members, and compared.

Begin with `membership.py`, which puts the parts together. `boot.py` makes this node a member when it starts;
`member_admin.py` and `group_admin.py` change the registry, and `registry_sync.py` keeps the members'
registries alike.
"""
