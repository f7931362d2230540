"""What the audit log tells of epochs, also where no client asked for the change."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from tests.node.moving import moving, moving_cluster, settled

pytestmark = pytest.mark.slow


def decided(logs: list[Any]) -> set[tuple[str, str]]:
    """What was decided, each with the member that it is about."""
    return {
        (each["event"].removeprefix("decided: "), each.get("member", ""))
        for each in logs
        if each["event"].startswith("decided: ")
    }


async def test_the_last_step_of_a_leave_is_told(autojump_clock: object) -> None:
    cluster = moving_cluster(names="abcd", groups=("sw:4:2",))
    with structlog.testing.capture_logs() as logs:
        async with moving(cluster):
            await cluster.forget("d", at="b")
            await cluster.ended["d"].wait()
            await settled(cluster, "abc")
    assert decided(logs) >= {("member leaves", "d"), ("member gone", "d")}
    assert all(each["epoch"] > 0 for each in logs if each["event"].startswith("decided: "))
