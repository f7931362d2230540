"""Moves shards when members come and go: fill, settle, give up."""
