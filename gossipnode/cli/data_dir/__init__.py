"""What a running node keeps in its data directory beside the store."""
