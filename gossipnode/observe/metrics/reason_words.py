"""The reasons of hops as labels: one of a fixed set, because a label must not hold free text."""

from __future__ import annotations

from typing import Final

from gossipnode.rpc import Status

OTHER: Final = "other"

_STATUSES: Final = frozenset(status.name for status in Status)

_BEGINNINGS: Final = (
    ("left out: ", "records left out"),
    ("no member", "no member"),
    ("it does not answer", "no answer"),
    ("no tree for the shard", "no tree"),
    ("the holder itself has no tree", "no tree here"),
    ("did not take the message", "message not taken"),
    ("protocol: ", "protocol"),
    ("own store: ", "own store"),
    ("there is no group", "group deleted"),
    ("internal", "internal"),
)


def reason_word(reason: str) -> str:
    """The label of a hop's reason: a word of ours, a gRPC status in small letters, or `other`."""
    if not reason:
        return ""
    status = reason.partition(":")[0]
    if status in _STATUSES:
        return status.lower()
    return next((word for beginning, word in _BEGINNINGS if reason.startswith(beginning)), OTHER)
