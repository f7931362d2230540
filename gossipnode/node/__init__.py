"""The running node. Its nurseries live here; the rules that they carry out live in `gossipnode.core`.

Begin with `node.py`, which starts and stops everything, and `parts.py`, which puts the rooms together. Each
folder is a room, and imports only rooms below it; DESIGN.md shows their order. `world.py` is the seam to
everything outside.
"""
