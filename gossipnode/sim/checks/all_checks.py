"""All checks by name, and the judgement of a history by each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from gossipnode.sim.checks.end_checks import (
    finally_deleted_groups_are_gone,
    finally_equal_content_has_equal_roots,
    finally_nothing_piles_up,
    finally_nothing_spins,
    finally_stores_are_equal,
    finally_watches_have_what_is_there,
)
from gossipnode.sim.checks.key_story import KeyStory, key_stories
from gossipnode.sim.checks.node_checks import (
    always_needed_replicas_are_asked,
    always_no_defects,
    always_nodes_stay,
    always_versions_go_up,
    eventually_available,
)
from gossipnode.sim.checks.past_check import always_records_have_a_past
from gossipnode.sim.checks.query_checks import always_queries_are_in_order, always_queries_are_one_view
from gossipnode.sim.checks.read_checks import (
    always_merges_survive,
    always_reads_never_go_back,
    always_reads_show_acknowledged,
    always_values_were_written,
)
from gossipnode.sim.checks.round_checks import (
    always_calm_rounds_are_complete,
    always_rounds_claim_what_their_hops_show,
    always_rounds_hear_of_their_holders,
    always_rounds_pass_by_the_dead,
    always_rounds_tell_the_truth,
    eventually_lost_rounds_are_made_good,
    eventually_rounds_end,
    finally_rounds_repair,
)
from gossipnode.sim.checks.verdict import Check, Verdict
from gossipnode.sim.checks.write_checks import (
    always_deletes_say_what_they_did,
    always_deletes_stay,
    always_failed_writes_never_overtake,
    always_retries_are_done_once,
)
from gossipnode.sim.history.history import History

KeyCheck: TypeAlias = Callable[[KeyStory, Verdict], None]
"""A check of each key by itself."""


def finally_acknowledged_is_there(story: KeyStory, verdict: Verdict) -> None:
    """At the end each replica by itself holds what a quorum read would have to show."""
    at_end = story.ended()
    for check in _OF_ONE_SIGHT:
        check(at_end, verdict)


_OF_ONE_SIGHT: tuple[KeyCheck, ...] = (
    always_reads_show_acknowledged,
    always_merges_survive,
    always_deletes_stay,
    always_failed_writes_never_overtake,
    always_retries_are_done_once,
    always_reads_never_go_back,
)

_OF_KEYS: tuple[KeyCheck, ...] = (
    always_values_were_written,
    always_reads_show_acknowledged,
    always_merges_survive,
    always_reads_never_go_back,
    always_deletes_stay,
    always_deletes_say_what_they_did,
    always_failed_writes_never_overtake,
    always_retries_are_done_once,
    always_records_have_a_past,
    always_queries_are_one_view,
    finally_acknowledged_is_there,
)

_OF_HISTORIES: tuple[Check, ...] = (
    always_queries_are_in_order,
    always_versions_go_up,
    always_nodes_stay,
    always_no_defects,
    always_needed_replicas_are_asked,
    always_rounds_tell_the_truth,
    always_rounds_claim_what_their_hops_show,
    always_rounds_hear_of_their_holders,
    always_calm_rounds_are_complete,
    always_rounds_pass_by_the_dead,
    eventually_lost_rounds_are_made_good,
    eventually_rounds_end,
    eventually_available,
    finally_rounds_repair,
    finally_stores_are_equal,
    finally_watches_have_what_is_there,
    finally_deleted_groups_are_gone,
    finally_equal_content_has_equal_roots,
    finally_nothing_spins,
    finally_nothing_piles_up,
)


def _sentence(check: KeyCheck | Check) -> str:
    """The first line of what a check says of itself."""
    assert check.__doc__, "each check says what must hold"
    return check.__doc__.splitlines()[0]


def _named() -> list[tuple[str, KeyCheck | Check]]:
    checks: list[KeyCheck | Check] = [*_OF_KEYS, *_OF_HISTORIES]
    return sorted(((check.__name__, check) for check in checks), key=lambda named: named[0])


CHECKS: Mapping[str, str] = MappingProxyType({name: _sentence(check) for name, check in _named()})
"""What must hold, in one sentence, by the name of the check."""


def judge(history: History) -> list[Verdict]:
    """What each check says of a history, in the order of their names."""
    stories = key_stories(history)
    verdicts: list[Verdict] = []
    for check in _OF_KEYS:
        verdict = Verdict(check.__name__)
        for story in stories:
            check(story, verdict)
        verdicts.append(verdict)
    for whole in _OF_HISTORIES:
        verdict = Verdict(whole.__name__)
        whole(history, verdict)
        verdicts.append(verdict)
    return sorted(verdicts, key=lambda each: each.check)
