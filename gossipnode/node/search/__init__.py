"""Finds records in the own store, by key, by index or by a scan."""
