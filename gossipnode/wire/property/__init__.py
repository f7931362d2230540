"""A property as bytes: read, checked, edited, and as the canonical JSON that its digest is taken over."""
