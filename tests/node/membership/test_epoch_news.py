"""Comparing epochs with other members: whether it is true what is said of it."""

from __future__ import annotations

import trio

from gossipnode.sim import Cluster, running


async def test_who_waits_for_a_comparison_hears_whether_the_member_answered(autojump_clock: object) -> None:
    async with running(Cluster()) as cluster:
        await trio.sleep(1)
        news = cluster.parts("a").membership.news
        for hangs, answers in ((False, True), (True, False)):
            if hangs:
                cluster.hang("c")
            said: list[bool] = []

            async def compare(said: list[bool]) -> None:
                said.append(await news.compare("c"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(compare, said)
                nursery.start_soon(compare, said)
            assert said == [answers, answers]


async def test_nobody_answers_by_a_name_that_no_member_has(autojump_clock: object) -> None:
    async with running(Cluster(names="a", groups=("sw:1:1",))) as cluster:
        assert not await cluster.parts("a").membership.news.compare("x")
