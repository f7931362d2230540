"""Repair between peers that are busy, silent, slow, or lose the group meanwhile."""
