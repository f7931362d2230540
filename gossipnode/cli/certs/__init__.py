"""A CA for small clusters, and the certificates that it signs. Needs the package cryptography."""
