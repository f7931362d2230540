"""When a failed call is tried again, and how long to wait between attempts.

Every wait has a maximum and a random part, so that the many clients of one server do not come back together.
"""

import random
from dataclasses import dataclass
from typing import Final

from gossipnode.rpc.status import Status

# A wait differs from its doubled value by up to this part of it.
_JITTER: Final = 0.2
# Doublings beyond this would overflow a float, and every maximum is reached long before.
_MAX_DOUBLINGS: Final = 32


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Repeats a unary call that ended in one of `statuses`; `attempts` counts the first call, too.

    Use it only for calls that may safely run twice. The call's timeout covers all attempts and waits.
    """

    statuses: frozenset[Status] = frozenset([Status.UNAVAILABLE])
    attempts: int = 3
    min_seconds: float = 0.1
    max_seconds: float = 2.0


def backoff_seconds(failures: int, min_seconds: float, max_seconds: float, rng: random.Random) -> float:
    """The wait after the `failures`-th failure in a row, counted from 1.

    It doubles with each failure up to `max_seconds`, and then varies by up to 20 % in both directions.
    """
    doubled = min_seconds * 2.0 ** min(failures - 1, _MAX_DOUBLINGS)
    return float(min(doubled, max_seconds)) * rng.uniform(1 - _JITTER, 1 + _JITTER)
