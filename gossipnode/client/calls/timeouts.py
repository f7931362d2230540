"""How long a call waits for a node if its caller does not say."""

DEFAULT_TIMEOUT_SECONDS = 10.0
