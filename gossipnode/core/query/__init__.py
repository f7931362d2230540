"""What a query asks for, how an index could find it, and which of several copies counts."""
