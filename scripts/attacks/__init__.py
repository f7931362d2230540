"""Attacks on real nodes over real sockets, and what innocent clients beside them saw."""
