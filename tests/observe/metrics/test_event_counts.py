"""Events are counted, and labels stay few whatever happens."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gossipnode.observe.events import CallEnded, Events, HopEnded, RoundEnded, SessionEnded
from gossipnode.observe.metrics import event_counts
from gossipnode.observe.metrics.event_counts import EventCounts
from gossipnode.observe.metrics.reason_words import reason_word
from tests.observe.metrics.reading import Key, key, read_metrics


class Counted:
    """Counts of a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.counts = EventCounts(self.registry)

    def read(self) -> dict[Key, float]:
        return read_metrics(generate_latest(self.registry))


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_each_event_has_its_counters(counted: Counted) -> None:
    counted.counts.count(RoundEnded("r1", "sw", 0, "repaired", 0.2, 3))
    counted.counts.count(HopEnded("r1", "sw", 0, "b", "skipped", "UNAVAILABLE: b: connection refused"))
    counted.counts.count(
        SessionEnded("reconcile", "sw", 0, "b", False, 0.1, 5, 7, 100, 200, {"not storable": 2})
    )
    counted.counts.count(CallEnded("/gossipnode.v1.NodeService/Apply", "OK", 0.003))
    found = counted.read()
    assert found[key("gossipnode_rounds_total", group="sw", outcome="repaired")] == 1
    assert found[key("gossipnode_round_seconds_sum", group="sw")] == 0.2
    assert found[key("gossipnode_hops_total", group="sw", outcome="skipped", reason="unavailable")] == 1
    assert found[key("gossipnode_session_seconds_count", kind="reconcile")] == 1
    assert found[key("gossipnode_session_bytes_total", kind="reconcile", direction="received")] == 200
    assert found[key("gossipnode_records_repaired_total", group="sw", direction="sent")] == 5
    assert found[key("gossipnode_records_repaired_total", group="sw", direction="received")] == 7
    assert found[key("gossipnode_records_skipped_total", group="sw", reason="not storable")] == 2
    method = "gossipnode.v1.NodeService/Apply"
    assert found[key("gossipnode_rpc_requests_total", method=method, code="OK")] == 1
    assert found[key("gossipnode_rpc_seconds_count", method=method)] == 1


def test_a_session_that_names_no_group_of_ours_is_counted_by_its_kind_alone(counted: Counted) -> None:
    counted.counts.count(SessionEnded("tree", "", 0, "x", True, 0.1, 5, 7, 100, 200))
    assert not any(labels == "group" for _, labelled in counted.read() for labels, _ in labelled)


def test_a_group_has_its_incomplete_rounds_counted_before_the_first_one(counted: Counted) -> None:
    """The increase from nothing to one is no increase to Prometheus: an alert would miss it."""
    counted.counts.follow_groups({"sw"})
    assert counted.read()[key("gossipnode_rounds_total", group="sw", outcome="incomplete")] == 0


def test_groups_that_come_and_go_leave_nothing(counted: Counted) -> None:
    for number in range(50):
        counted.counts.count(RoundEnded("r", f"g{number}", 0, "converged", 0.1, 0))
        counted.counts.count(HopEnded("r", f"g{number}", 0, "b", "equal", ""))
        counted.counts.follow_groups({"sw"})
    assert {dict(labels).get("group", "sw") for _, labels in counted.read()} == {"sw"}


def test_labels_are_bounded(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_counts, "GROUPS_COUNTED_MAX", 2)
    monkeypatch.setattr(event_counts, "SKIP_REASONS_MAX", 2)
    for number in range(9):
        skipped = {f"because of {number}": 1}
        counted.counts.count(SessionEnded("tree", f"g{number}", 0, "b", True, 0.1, 1, 0, 1, 1, skipped))
    found = counted.read()
    assert found[key("gossipnode_records_repaired_total", group="_other", direction="sent")] == 7
    assert found[key("gossipnode_records_skipped_total", group="_other", reason="other")] == 7


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("", ""),
        ("UNAVAILABLE: b: connection refused", "unavailable"),
        ("RESOURCE_EXHAUSTED", "resource_exhausted"),
        ("left out: 1 not storable, such as sw/n/a", "records left out"),
        ("it does not answer: asked for 3 s", "no answer"),
        ("protocol: a tree of 33 slots", "protocol"),
        ("own store: the disk is full", "own store"),
        ("whatever else\n{}", "other"),
    ],
)
def test_a_reason_becomes_one_of_few_words(reason: str, word: str) -> None:
    assert reason_word(reason) == word


def test_a_listener_that_fails_ends_nothing() -> None:
    events, heard = Events(), []
    events.listen(lambda _: 1 / 0)  # type: ignore[arg-type, return-value]
    events.listen(heard.append)
    events.tell(CallEnded("/s/m", "OK", 0.1))
    assert heard == [CallEnded("/s/m", "OK", 0.1)]
