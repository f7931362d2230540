"""The steps of requests: what they do about members that hang or see other members."""

from __future__ import annotations

import pytest
import trio

from gossipnode.core.cluster.placement import Placement
from gossipnode.node.coordinate.record_steps import COMPARE_SECONDS, COMPARED_MEMBERS_MAX, VIEW_ATTEMPTS
from gossipnode.node.refusals.request_errors import OtherViewError
from gossipnode.sim import Cluster, running
from tests.node.cluster import N1
from tests.node.moving import eventually


def count_comparisons(cluster: Cluster, name: str) -> list[str]:
    """With whom a node compares epochs from now on."""
    asked: list[str] = []
    epochs = cluster.parts(name).membership.news
    compare = epochs.compare

    async def counted(peer: str) -> bool:
        asked.append(peer)
        return await compare(peer)

    epochs.compare = counted  # type: ignore[method-assign]
    return asked


async def test_a_member_that_hangs_while_views_are_compared_is_left_for_another_one(
    autojump_clock: object,
) -> None:
    async with running(Cluster()) as cluster:
        await eventually(lambda: len(list(cluster.parts("a").membership.news.members_up())) == 2)
        asked = count_comparisons(cluster, "a")
        cluster.hang("c")
        began = trio.current_time()
        await cluster.parts("a").coordination.steps.compare_views("c")
        assert trio.current_time() - began <= COMPARE_SECONDS + 1
        assert asked == ["c", "b"]
        # The request starts over, and meets the same member.
        await cluster.parts("a").coordination.steps.compare_views("c")
        assert trio.current_time() - began <= COMPARE_SECONDS + 1
        assert asked == ["c", "b", "b"]


async def test_views_are_compared_with_a_few_members_at_most(autojump_clock: object) -> None:
    async with running(Cluster(names="abcdef", groups=("sw:1:6",))) as cluster:
        await eventually(lambda: len(list(cluster.parts("a").membership.news.members_up())) == 5)
        asked = count_comparisons(cluster, "a")
        for name in "bcdef":
            cluster.hang(name)
        began = trio.current_time()
        await cluster.parts("a").coordination.steps.compare_views("c")
        assert trio.current_time() - began <= COMPARED_MEMBERS_MAX * COMPARE_SECONDS + 1
        assert len(asked) == COMPARED_MEMBERS_MAX


async def test_views_are_compared_before_each_new_try_and_the_last_try_counts(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        asked = count_comparisons(cluster, "a")
        tries = 0

        async def attempt(placement: Placement) -> str:
            nonlocal tries
            tries += 1
            if tries < last:
                raise OtherViewError(f"try {tries}", "b")
            return "done"

        steps = cluster.parts("a").coordination.steps
        last = VIEW_ATTEMPTS
        assert await steps.in_one_view(N1, attempt) == "done"
        assert asked == ["b"] * (VIEW_ATTEMPTS - 1)
        tries, last = 0, VIEW_ATTEMPTS + 1
        with pytest.raises(OtherViewError, match=f"try {VIEW_ATTEMPTS}"):
            await steps.in_one_view(N1, attempt)
