"""Whole runs: the same seed gives the same history."""
