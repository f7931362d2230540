"""Snapshots of this node's store: taken while it runs (`snapshots`), brought back offline (`restored_store`).

What a snapshot is made of, and how it gets its name, is in `store/snapshot/`.
"""
