"""Checks of nodes while a run goes on: that they serve, stay, keep what is newer, and find no defect."""

from __future__ import annotations

from gossipnode.sim.checks.key_story import group_of
from gossipnode.sim.checks.verdict import Verdict
from gossipnode.sim.history.history import CLOCK, MEMBERS, History
from gossipnode.sim.history.operations import Failed, Operation, Query

AVAILABLE_AFTER_SECONDS = 30.0
"""How long after a majority is up and connected again no quorum operation fails any more."""

LEFT_OUT = "(is down)"
"""How a coordinator names a replica that it did not ask."""

ANSWER_SECONDS = 60.0
"""How long a client waits for an answer at most, whatever its operation."""


def always_versions_go_up(history: History, verdict: Verdict) -> None:
    """A replica's version of a record never goes down."""
    verdict.times += len(history.operations)
    for back in history.went_back:
        verdict.add(back.time, f"{back.key}: {back.node} put {back.after} in place of {back.before}")


def always_nodes_stay(history: History, verdict: Verdict) -> None:
    """No node's process ends by itself, unless it was forgotten or told to end."""
    verdict.times += len(history.nodes)
    for ended in history.ended_nodes:
        if verdict.fails(ended.expected):
            verdict.add(ended.time, f"{ended.node} ended: {ended.reason}")


def always_no_defects(history: History, verdict: Verdict) -> None:
    """No node logs an error that names a defect of its own."""
    verdict.times += len(history.nodes)
    for defect in history.defects:
        verdict.add(defect.time, f"{defect.node}: {defect.text}")


def always_needed_replicas_are_asked(history: History, verdict: Verdict) -> None:
    """No request at quorum fails because replicas seem to be down without which it cannot succeed."""
    if any(harm.kind == MEMBERS for harm in history.harms):
        # While shards move, requests need more replicas than one quorum.
        return
    for operation in history.operations:
        heard, replicas = operation.heard, history.groups.get(_group(operation))
        # What is said by several nodes is not what one of them left out.
        if operation.ack != "quorum" or operation.others or not isinstance(heard, Failed) or not replicas:
            continue
        left_out = heard.text.count(LEFT_OUT)
        if verdict.fails(left_out <= (replicas - 1) // 2):
            verdict.add(
                _ended(operation), f"{left_out} replicas were not asked: {heard.text}", (operation.number,)
            )


def _group(operation: Operation) -> str:
    asked = operation.asked
    return asked.group if isinstance(asked, Query) else group_of(operation.keys[0])


def _ended(operation: Operation) -> float:
    return operation.began if operation.ended is None else operation.ended


def eventually_available(history: History, verdict: Verdict) -> None:
    """With one majority up and connected for half a minute, quorum operations at healthy nodes succeed."""
    served = [
        (period.begins + AVAILABLE_AFTER_SECONDS, period.ends)
        for period in history.served
        if period.begins + AVAILABLE_AFTER_SECONDS <= period.ends
    ]
    ends = history.ended_nodes
    for operation in history.operations:
        heard = operation.heard
        if operation.ack != "quorum" or (isinstance(heard, Failed) and heard.error == "NotFoundError"):
            continue
        until = operation.began + ANSWER_SECONDS if operation.ended is None else operation.ended
        if not any(begins <= operation.began and until <= ends for begins, ends in served):
            continue
        since = operation.began - AVAILABLE_AFTER_SECONDS
        harms = [harm for harm in history.harms if harm.begins <= until and since <= harm.ends]
        if len({harm.host for harm in harms if harm.kind != CLOCK}) > history.spare:
            # There was a majority all the time, but not the same one.
            continue
        if {operation.node, *operation.others} & {harm.host for harm in harms}:
            continue
        if any(gone.node == operation.node and gone.forgotten and gone.time <= until for gone in ends):
            # Whoever asks a node that is a member no more has to ask another one.
            continue
        said = f"{heard.error}: {heard.text}" if isinstance(heard, Failed) else "no answer"
        if verdict.fails(operation.acknowledged):
            verdict.add(
                until,
                f"operation {operation.number} of {operation.client} at {operation.node} was given {said}",
                (operation.number,),
            )
