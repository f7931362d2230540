"""The words for an operation: what was asked, what was heard, and how good that was."""

from __future__ import annotations

from enum import Enum

from gossipnode.sim.history.operations import (
    Apply,
    Asked,
    Delete,
    Deleted,
    Failed,
    Get,
    Heard,
    Import,
    Imported,
    Nothing,
    Operation,
    Query,
    Row,
    Rows,
    Stored,
    Tags,
)


class Outcome(Enum):
    """How an operation ended, as far as its client knows."""

    DONE = "done"
    """It was acknowledged, or answered."""
    REFUSED = "refused"
    """It failed, and a write has not happened."""
    UNKNOWN = "unknown"
    """It failed, and a write may have happened all the same."""
    OPEN = "open"
    """Nothing was heard until the run was over."""


def outcome_of(operation: Operation) -> Outcome:
    """How an operation ended."""
    match operation.heard:
        case None:
            return Outcome.OPEN
        case Failed(maybe=maybe):
            return Outcome.UNKNOWN if maybe else Outcome.REFUSED
        case _:
            return Outcome.DONE


def asked_words(operation: Operation) -> str:
    """What was asked, of which node and at which level: `#3 apply sw/n/1 x=1 at a, quorum`."""
    return f"#{operation.number} {_asked(operation.asked)} at {operation.node}, {operation.ack}"


def heard_words(operation: Operation) -> str:
    """What was heard: `#3 stored 17, x=1`."""
    heard = "no answer" if operation.heard is None else _heard(operation.heard)
    return f"#{operation.number} {heard}"


def counted(number: int, thing: str) -> str:
    """`1 record`, `2 records`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _asked(asked: Asked) -> str:
    match asked:
        case Apply(key, tags, replace):
            return f"{'replace' if replace else 'apply'} {key} {_tags(tags)}".rstrip()
        case Delete(key):
            return f"delete {key}"
        case Get(key):
            return f"get {key}"
        case Query(group):
            return f"query {group}"
        case Import(keys, tags):
            return f"import {' '.join(keys)} with {_tags(tags)}"


def _heard(heard: Heard) -> str:
    match heard:
        case Stored(revision, tags, created):
            return f"{'created' if created else 'stored'} {revision}, {_tags(tags)}"
        case Deleted(deleted):
            return "deleted" if deleted else "deleted nothing"
        case Row(key, revision, tags):
            return f"{key} {revision}, {_tags(tags)}"
        case Nothing():
            return "no such record"
        case Rows(rows):
            found = "; ".join(_heard(row) for row in rows)
            return counted(len(rows), "record") + (f": {found}" if found else "")
        case Imported(records):
            return f"imported {counted(records, 'record')}"
        case Failed(error, text, maybe):
            return f"{error}{' (may have happened)' if maybe else ''}: {text}"


def _tags(tags: Tags) -> str:
    return " ".join(f"{name}={value}" for name, value in tags.items())
