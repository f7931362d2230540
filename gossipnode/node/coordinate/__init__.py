"""A client's request, carried out by the replicas of its record."""
