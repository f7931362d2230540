"""Safeguards of progress: nothing waits for ever, and nothing spins."""

from __future__ import annotations

from typing import Final

from ablations.safeguard import Safeguard, without

LIVENESS_SAFEGUARDS: Final[tuple[Safeguard, ...]] = (
    without(
        "replica-timeout",
        "A request to a replica waits for its answer without a limit.",
        ("node/peers/exchange_link.py", "REPLICA_SECONDS = 2.0", "REPLICA_SECONDS = 3600.0"),
    ),
    without(
        "down-asked",
        "A replica that seems to be down is not asked even if it is needed.",
        (
            "core/cluster/targets.py",
            "    if down and tally.impossible_without(down):\n        return targets + down\n",
            "",
        ),
        faults=("cut", "crash"),
    ),
    without(
        "hellos",
        "A member says hello to another one once, and never again.",
        (
            "node/peers/hello.py",
            "            with trio.move_on_after(pause):\n",
            "            with trio.move_on_after(3600.0 + pause):\n",
        ),
    ),
    without(
        "asked-again",
        "A member that has come back is not asked again before a pause is over.",
        ("node/peers/members.py", "            self.link.try_again()\n", ""),
    ),
    without(
        "write-pauses",
        "A write that was overtaken starts over at once.",
        (
            "node/coordinate/record_reads.py",
            "        await trio.sleep(self._rng.uniform(0, longest))\n",
            "        assert longest\n",
        ),
        faults=("crowd",),
    ),
    without(
        "write-attempts",
        "A write that was overtaken does not start over.",
        ("node/coordinate/record_steps.py", "APPLY_ATTEMPTS = 8", "APPLY_ATTEMPTS = 1"),
    ),
    without(
        "hello-pauses",
        "Hellos follow each other without a pause.",
        (
            "node/peers/hello.py",
            "HELLO_MIN_SECONDS = 1.0\nHELLO_MAX_SECONDS = 15.0",
            "HELLO_MIN_SECONDS = 0.0\nHELLO_MAX_SECONDS = 0.0",
        ),
    ),
    without(
        "dial-deadline",
        "A node waits for a connection as long as the other side lets it.",
        (
            "rpc/client/dialing.py",
            "with trio.fail_after(limits.connect_seconds):",
            "with trio.fail_after(3600.0):",
        ),
    ),
)
