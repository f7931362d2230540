"""The pulse of the loop, on a clock that jumps while no task runs: so it is for a process that is stopped."""

from __future__ import annotations

import trio
import trio.testing

from gossipnode.concurrency.loop_pulse import PULSE_SECONDS, STALL_TOLD_SECONDS, LoopPulse


async def test_a_loop_that_goes_on_is_not_late(autojump_clock: object) -> None:
    pulse = LoopPulse()
    assert pulse.stalled_seconds() == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.run)
        for _ in range(10):
            await trio.sleep(PULSE_SECONDS * 0.7)
            assert pulse.stalled_seconds() == 0
        nursery.cancel_scope.cancel()
    await trio.sleep(10)
    assert pulse.stalled_seconds() == 0


async def test_a_stall_is_told_before_and_after_the_pulse_has_felt_it(
    mock_clock: trio.testing.MockClock,
) -> None:
    pulse = LoopPulse()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pulse.run)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(5.0)
        assert pulse.stalled_seconds() == 5.0
        await trio.testing.wait_all_tasks_blocked()
        assert pulse.stalled_seconds() == 5.0
        mock_clock.jump(STALL_TOLD_SECONDS * 1.1)
        assert pulse.stalled_seconds() == 0
        nursery.cancel_scope.cancel()
