"""How the replicas of a shard agree on which tombstones may go: meetings, and purge rounds."""
