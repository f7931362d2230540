"""Finds records in this node's own store: by key, along an index, or by a scan.

Begin with `local_search.py`, which chooses the way. `feeds.py` reads pages of records and of index rows;
`ordering.py` decides which records match, and puts them in the order of a tag.
"""
