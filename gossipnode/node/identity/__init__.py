"""Which store this is: the node that it belongs to, its birth, and whether it is in its newest state.

Of other stores, what was last heard of them.
"""
