"""The layer of meaning: peers that speak well-formed messages and lie.

The first step says what the input is about, and how it begins.
"""

from __future__ import annotations

from random import Random

from fuzzing.inputs import Steps
from tests.fuzz import lying_members, lying_sessions
from tests.fuzz.tape import choices

PLAYS = (
    lying_sessions.play,
    lying_sessions.play,
    lying_members.messages_of_rounds,
    lying_members.reports_of_rounds,
    lying_members.answers,
    lying_members.candidates,
)


def run(steps: Steps) -> int:
    """Let the peer tell its lies; gives what they are worth in bytes."""
    first = steps[0] if steps else b""
    return PLAYS[(first[0] if first else 0) % len(PLAYS)](first[1:], steps[1:])


def fresh(random: Random) -> bytes:
    return choices(random, 20)
