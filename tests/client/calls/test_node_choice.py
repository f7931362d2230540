from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from gossipnode.client.calls.node_choice import ASIDE_MAX_SECONDS, ASIDE_MIN_SECONDS, NodeChoice

JITTER = 1.2
"""A backoff is at most 20 % longer than its doubled value."""


def choice(nodes: int = 3) -> NodeChoice:
    return NodeChoice(nodes, random.Random(0))


def test_nodes_are_asked_as_given_and_the_last_good_one_first() -> None:
    nodes = choice()
    assert nodes.order(0) == [0, 1, 2]
    nodes.succeeded(2)
    assert nodes.order(0) == [2, 0, 1]
    nodes.succeeded(1)
    assert nodes.order(0) == [1, 0, 2]


def test_a_node_that_failed_comes_last_for_a_while() -> None:
    nodes = choice()
    nodes.failed(0, 10.0)
    assert nodes.order(10.0) == [1, 2, 0]
    assert nodes.order(10.0 + ASIDE_MIN_SECONDS * JITTER) == [0, 1, 2]


def test_a_node_that_took_over_is_kept_when_the_first_one_is_back() -> None:
    nodes = choice()
    nodes.failed(0, 10.0)
    nodes.succeeded(1)
    assert nodes.order(1000.0) == [1, 0, 2]


def test_of_nodes_put_aside_the_one_that_is_back_first_comes_first() -> None:
    nodes = choice(2)
    nodes.failed(1, 10.0)
    nodes.failed(0, 10.5)
    assert nodes.order(10.05) == [1, 0]


def test_calls_that_fail_side_by_side_count_once() -> None:
    nodes = choice(2)
    for _ in range(100):
        nodes.failed(0, 10.0)
    assert nodes.order(10.0 + ASIDE_MIN_SECONDS * JITTER) == [0, 1]


def test_the_longer_it_fails_the_longer_it_is_put_aside_up_to_a_limit() -> None:
    nodes, now = choice(2), 0.0
    lasted = []
    for _ in range(20):
        nodes.failed(0, now)
        began = now
        while nodes.order(now) == [1, 0]:
            now += 0.01
        lasted.append(now - began)
    assert lasted[0] < 2 * ASIDE_MIN_SECONDS < lasted[2]
    assert 0.7 * ASIDE_MAX_SECONDS < lasted[-1] < 1.3 * ASIDE_MAX_SECONDS
    nodes.succeeded(0)
    nodes.failed(0, now)
    assert nodes.order(now + ASIDE_MIN_SECONDS * JITTER) == [0, 1]


@given(
    st.integers(1, 6),
    st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.floats(0, 30)), max_size=40),
)
def test_always_every_node_is_asked_in_the_end(nodes: int, events: list[tuple[int, bool, float]]) -> None:
    chosen, now = choice(nodes), 0.0
    for node, good, passed in events:
        now += passed
        if good:
            chosen.succeeded(node % nodes)
            assert chosen.order(now)[0] == node % nodes
        else:
            chosen.failed(node % nodes, now)
        assert sorted(chosen.order(now)) == list(range(nodes))
