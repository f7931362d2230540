"""What counts where a caller does not say. Imports nothing, so that a command shows its help fast."""

DEFAULT_TIMEOUT_SECONDS = 10.0
"""How long a call, or a wait for the next part of a long answer, may take."""

DEFAULT_LIMIT_RECORDS = 100
"""How many records a query of the library gives at most."""
