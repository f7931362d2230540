"""The server: connections from listeners, calls to handlers, the health service."""
