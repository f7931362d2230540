"""What the replicas of a cluster ask and tell each other, as messages of Google's runtime."""
