"""Every bound of the client library, its unit last."""

ADDRESSES_MAX = 64
"""Nodes that one client may be told of."""

TRIES_PER_NODE_MAX = 5
"""How often one call asks the same node, at most."""

PAUSE_MIN_SECONDS = 0.1
PAUSE_MAX_SECONDS = 2.0
"""The pause of a call after it has asked every node in vain; doubles from one to the other."""

ASIDE_MIN_SECONDS = 0.1
ASIDE_MAX_SECONDS = 10.0
"""How long a node that failed is asked only if no other is left; doubles from one to the other."""

NODES_NAMED_IN_ERROR = 3
"""An error is one line: so many nodes are named in it."""

READ_AHEAD_BATCHES = 1
"""Answers of a query that wait for the reader, beside the one that is being read."""

CLOSE_SECONDS = 1.0
"""How long a connection may take to say goodbye."""
