"""What the log says while nothing changes: nothing, however long it lasts."""

from __future__ import annotations

import logging

import pytest
import structlog.testing
import trio

from gossipnode.sim import Cluster, running

LONG_SECONDS = 1200.0
MINUTES_SECONDS = 200.0


def shown(logs: list[structlog.typing.EventDict]) -> list[str]:
    """The events that the level info shows."""
    return [str(log["event"]) for log in logs if log["log_level"] != "debug"]


@pytest.mark.slow
async def test_two_members_that_are_dead_for_long(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gossipnode.rpc")
    async with running(Cluster()) as cluster:
        await trio.sleep(5)
        with structlog.testing.capture_logs() as logs:
            await cluster.end("b")
            await cluster.end("c")
            await trio.sleep(30)
            at_first = shown(logs)
            assert at_first.count("member down") == 2
            caplog.clear()
            logs.clear()
            await trio.sleep(LONG_SECONDS)
        assert shown(logs) == []
        assert caplog.messages == []


@pytest.mark.slow
async def test_shards_that_cannot_move(autojump_clock: object) -> None:
    """Of four members two are dead, so nobody can decide that the shards lie where they belong now."""
    async with trio.open_nursery() as nursery, running(Cluster(groups=("sw:8:2",))) as cluster:
        await trio.sleep(5)
        await cluster.join(nursery, "d")
        await cluster.end("b")
        await cluster.end("c")
        await trio.sleep(120)
        assert not cluster.view("d").is_settled
        with structlog.testing.capture_logs() as logs:
            await trio.sleep(MINUTES_SECONDS)
        assert shown(logs) == []
        cluster.stop()
