"""Snapshots of a store: consistent copies that are taken while a node runs, and brought back offline.

Begin with `snapshot_files`: how a snapshot gets its name only when it is whole. `database_copy` copies the
file of a running store, `manifest` says what stands beside the copy, and `placing` brings it back.
"""
