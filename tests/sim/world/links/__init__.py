"""What links carry, when, and what becomes of it: streams, listeners, crashes, whole nodes over them."""
