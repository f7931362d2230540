"""Long work gives way after a number of steps, always the same one."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import trio

from gossipnode.concurrency.loop_steps import STEPS_OF_A_TURN, LoopSteps, in_short_steps


class Turns(trio.abc.Instrument):
    """How often the loop went round."""

    def __init__(self) -> None:
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        self.count += 1


async def test_other_tasks_get_their_turn_after_so_many_steps() -> None:
    turns, loop = Turns(), LoopSteps()
    trio.lowlevel.add_instrument(turns)
    for _ in range(10 * STEPS_OF_A_TURN):
        await loop.step()
    assert turns.count == 10


async def test_work_is_done_in_steps_and_gives_what_it_returns() -> None:
    turns = Turns()
    trio.lowlevel.add_instrument(turns)
    done: list[int] = []

    def work() -> Generator[None, None, str]:
        for number in range(3 * STEPS_OF_A_TURN):
            done.append(number)
            yield
        return "done"

    assert await in_short_steps(work()) == "done"
    assert len(done) == 3 * STEPS_OF_A_TURN
    assert turns.count == 3


async def test_an_error_of_the_work_comes_out() -> None:
    def work() -> Generator[None, None, None]:
        yield
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await in_short_steps(work())
