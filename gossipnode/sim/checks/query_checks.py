"""Checks of queries: each is one view of its group."""

from __future__ import annotations

from itertools import pairwise

from gossipnode.sim.checks.hiders import may_be_deleted, may_live
from gossipnode.sim.checks.key_story import KeyStory, group_of
from gossipnode.sim.checks.verdict import Verdict
from gossipnode.sim.history.history import History
from gossipnode.sim.history.operations import Operation, Query, Rows


def always_queries_are_in_order(history: History, verdict: Verdict) -> None:
    """A query gives records of its own group only, each once, in the order of their keys."""
    for operation in history.operations:
        asked, heard = operation.asked, operation.heard
        if not isinstance(asked, Query) or not isinstance(heard, Rows):
            continue
        _expect_order(operation, [row.key for row in heard.rows], asked.group, verdict)


def always_queries_are_one_view(story: KeyStory, verdict: Verdict) -> None:
    """A quorum query misses no record that must be there, and shows none that cannot be there."""
    for shown in story.strong():
        if shown.source != "query":
            continue
        if shown.tags is not None:
            if verdict.fails(may_live(story, None, shown)):
                verdict.add(
                    shown.ended,
                    f"{story.key}: query {shown.number} showed it before anybody made it",
                    (shown.number,),
                )
            continue
        for write in story.promised():
            if write.deletes or not write.before(shown):
                continue
            if verdict.fails(may_be_deleted(story, write, shown)):
                verdict.add(
                    shown.ended,
                    f"{story.key}: query {shown.number} missed it, but {write.number} was acknowledged",
                    (write.number, shown.number),
                )


def _expect_order(operation: Operation, keys: list[str], group: str, verdict: Verdict) -> None:
    time = operation.began if operation.ended is None else operation.ended
    for key in keys:
        if verdict.fails(group_of(key) == group):
            verdict.add(time, f"query {operation.number} of {group} showed {key}", (operation.number,))
    for first, second in pairwise(keys):
        problem = "twice" if first == second else f"after {first}"
        if verdict.fails(_parts(first) < _parts(second)):
            verdict.add(time, f"query {operation.number} showed {second} {problem}", (operation.number,))


def _parts(key: str) -> tuple[str, ...]:
    """What keys are ordered by."""
    return tuple(key.split("/", 2))
