"""Real nodes with TLS: certificates made, read again and refused, and what clients are told."""
