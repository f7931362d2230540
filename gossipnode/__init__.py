"""gossipnode keeps small metadata records identical on a set of nodes, with no coordinator."""

__version__ = "0.1.0"
