"""When a failed call is tried again, and how long to wait between attempts.

Both waits are capped and jittered: many clients of one server must not come back together.
"""

import random
from dataclasses import dataclass

from gossipnode.rpc.status import Status


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Repeat a unary call that ended in one of `statuses`, up to `attempts` calls in all.

    Only for calls that may safely run twice. The call's timeout covers all attempts and waits.
    """

    statuses: frozenset[Status] = frozenset([Status.UNAVAILABLE])
    attempts: int = 3
    min_seconds: float = 0.1
    max_seconds: float = 2.0


def backoff_seconds(failures: int, min_seconds: float, max_seconds: float, rng: random.Random) -> float:
    """The wait after the `failures`-th failure in a row (from 1): doubling, capped, within +-20 %."""
    doubled = min_seconds * 2.0 ** min(failures - 1, 32)
    return float(min(doubled, max_seconds)) * rng.uniform(0.8, 1.2)
