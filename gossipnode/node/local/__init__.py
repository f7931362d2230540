"""What this node holds and knows: its store, its map of the shards, its clock."""
