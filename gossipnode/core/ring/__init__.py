"""A round: whose turn it is, which messages a node takes, and what came of it at the origin."""
