"""Checks of what is left when all is healed, repaired and idle."""

from __future__ import annotations

from gossipnode.sim.checks.key_story import the_end
from gossipnode.sim.checks.verdict import Verdict
from gossipnode.sim.history.history import History, Replica

STEPS_A_MINUTE_MAX = 20_000
"""Steps of the tasks of an idle node in a minute, its hellos, timers and polls together."""

TASKS_MAX = 400
"""Tasks of an idle node."""

CONNECTIONS_MAX = 100
"""Connections of an idle node, to members and from clients together."""

MEMORY_BYTES_MAX = 64 * 1024 * 1024
"""What an idle node counts in its memory of sessions, answers and remembered requests."""


def finally_stores_are_equal(history: History, verdict: Verdict) -> None:
    """After the final rounds all replicas of a shard hold the same, and their roots are the same."""
    end = the_end(history)
    for shard in sorted(history.replicas):
        replicas = history.replicas[shard]
        for other in replicas[1:]:
            first = replicas[0]
            if verdict.fails(first.root == other.root and dict(first.held) == dict(other.held)):
                verdict.add(end, f"{shard}: {_difference(first, other)}")


def finally_equal_content_has_equal_roots(history: History, verdict: Verdict) -> None:
    """Equal content gives equal roots, whatever the order of writes, the process and its restarts."""
    end = the_end(history)
    for shard in sorted(history.replicas):
        replicas = history.replicas[shard]
        for index, first in enumerate(replicas):
            for other in replicas[index + 1 :]:
                same = dict(first.held) == dict(other.held)
                if verdict.fails(same == (first.root == other.root)):
                    verdict.add(
                        end,
                        f"{shard}: {first.node} and {other.node} hold "
                        + ("the same under different roots" if same else "different records under one root"),
                    )


def finally_watches_have_what_is_there(history: History, verdict: Verdict) -> None:
    """At the end a client that watched all the time has every record in its last version, and no deleted one.

    A record that no replica remembers may have been at a store that was lost: of that nobody can tell.
    """
    end = the_end(history)
    for watched in history.watched:
        if watched.group in history.deleted_groups:
            continue
        held = {
            key: (revision, deleted, tags)
            for shard, replicas in history.replicas.items()
            if shard.group == watched.group and replicas
            for key, (revision, deleted, tags) in replicas[0].held.items()
        }
        if history.replicas and verdict.fails(watched.ready):
            verdict.add(end, f"the watch of {watched.group} is not ready, after {watched.gaps} gaps")
        for key, (revision, deleted, tags) in sorted(held.items()):
            told = watched.records.get(key)
            if verdict.fails(told == (None if deleted else (revision, dict(tags)))):
                verdict.add(end, f"{key} is {revision, deleted, tags}, and the watch has {told}")


def finally_deleted_groups_are_gone(history: History, verdict: Verdict) -> None:
    """A group whose deletion was acknowledged is nowhere, unless somebody asked to create it since."""
    verdict.times += len(history.gone_groups)
    for shard in sorted(history.replicas):
        if shard.group in history.gone_groups and history.replicas[shard]:
            nodes = ", ".join(replica.node for replica in history.replicas[shard])
            verdict.add(the_end(history), f"{shard} is still at {nodes}, but its group was deleted")


def finally_nothing_spins(history: History, verdict: Verdict) -> None:
    """A run comes to its end, and an idle node makes few steps a minute."""
    end = the_end(history)
    if verdict.fails(not history.spins):
        verdict.add(end, history.spins)
    for usage in history.usage:
        if verdict.fails(usage.steps_a_minute <= STEPS_A_MINUTE_MAX):
            verdict.add(end, f"{usage.node} made {usage.steps_a_minute} steps in an idle minute")


def finally_nothing_piles_up(history: History, verdict: Verdict) -> None:
    """An idle node has bounded tasks, connections and memory."""
    end = the_end(history)
    for usage in history.usage:
        for name, value, limit in (
            ("tasks", usage.tasks, TASKS_MAX),
            ("connections", usage.connections, CONNECTIONS_MAX),
            ("bytes in its memory", usage.memory_bytes, MEMORY_BYTES_MAX),
        ):
            if verdict.fails(value <= limit):
                verdict.add(end, f"{usage.node} is idle and has {value} {name}, more than {limit}")


def _difference(first: Replica, other: Replica) -> str:
    keys = sorted(key for key in {*first.held, *other.held} if first.held.get(key) != other.held.get(key))
    if not keys:
        return f"{first.node} has root {first.root} and {other.node} root {other.root} over the same records"
    key = keys[0]
    text = f"{key} is {first.held.get(key)} at {first.node} and {other.held.get(key)} at {other.node}"
    return text if len(keys) == 1 else f"{text}, and {len(keys) - 1} more differ"
