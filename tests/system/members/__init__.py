"""Who is a member of a cluster of real nodes: forming, joining, replacing, forgetting, moving."""
