"""Merges what the replicas find into one answer."""
