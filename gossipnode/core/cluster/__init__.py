"""Members, groups, placement, quorums: who holds a shard, and when enough of them have answered."""
