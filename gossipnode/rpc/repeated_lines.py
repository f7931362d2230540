"""Keeps what goes wrong again and again, as the tries of a client that is refused, from filling the log."""

from typing import Final

REPEAT_SECONDS: Final = 60.0
"""How often a line is said that would be the same each time."""

REPEATED_MAX_LINES: Final = 256
"""Different lines that are remembered. One that was forgotten is said at once."""


class RepeatedLines:
    """Which lines were said lately, and how often each would have been said since."""

    def __init__(self) -> None:
        self._said: dict[tuple[str, str], tuple[float, int]] = {}

    def due(self, about: str, line: str, now: float) -> str | None:
        """What to add to a line about somebody if it is to be said now, "" at its first time; None if not.

        `now` is in seconds, from any start.
        """
        key = about, line
        said_at, more = self._said.get(key, (now - REPEAT_SECONDS, 0))
        if now < said_at + REPEAT_SECONDS:
            self._said[key] = said_at, more + 1
            return None
        self._said.pop(key, None)
        if len(self._said) >= REPEATED_MAX_LINES:
            del self._said[next(iter(self._said))]
        self._said[key] = now, 0
        return f" ({more} more like it since)" if more else ""
