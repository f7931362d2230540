"""What a crash leaves of the connections of a host, for itself and for others."""

from __future__ import annotations

import errno
from collections.abc import Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.sim.world.links.linked import AB, BA, Ask, B, Linked, seconds_until


async def test_a_process_that_crashes_resets_its_connections_by_the_link(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    await far.send_all(b"before")
    await trio.sleep(0.5)
    begun = trio.current_time()
    linked.network.crash("b", told=True)
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"after")
    with pytest.raises(trio.BrokenResourceError):
        await far.receive_some()
    await far.aclose()
    await near.send_all(b"not known yet")
    await trio.sleep(0.5)
    await near.send_all(b"not known yet")
    assert await near.receive_some() == b"before"
    with pytest.raises(trio.BrokenResourceError):
        await near.receive_some()
    assert trio.current_time() - begun == 1.0
    with pytest.raises(trio.BrokenResourceError):
        await near.send_all(b"x")


async def test_a_reset_does_not_pass_a_dropped_link(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, _ = await linked.pair()
    linked.links.drop(BA)
    linked.network.crash("b", told=True)

    async def wait() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()

    assert await seconds_until(wait, 60.0, lambda: linked.links.mend(BA)) == 61.0


async def test_an_end_that_was_closed_before_the_crash_stays_closed_and_is_not_reset(
    autojump_clock: object,
) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    await far.aclose()
    linked.network.crash("b", told=True)
    await trio.sleep(1)
    assert await near.receive_some() == b""


async def test_a_host_that_is_up_may_be_revived(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, far = await linked.pair()
    await near.send_all(b"x")
    linked.network.revive("b")
    await near.send_all(b"y")
    assert await far.receive_some() == b"xy"
    await far.send_all(b"z")
    assert await near.receive_some() == b"z"


async def test_nobody_listens_at_a_process_that_has_crashed_until_another_one_does(
    autojump_clock: object,
) -> None:
    linked = Linked(1.0)
    old = linked.network.host("b")
    listener = await linked.listen()
    linked.network.crash("b", told=True)
    with pytest.raises(ConnectionRefusedError):
        await linked.connect()
    with pytest.raises(trio.ClosedResourceError):
        await listener.accept()
    for ask in (lambda: old.listen(B), lambda: old.connect(B)):
        with pytest.raises(OSError, match="down") as caught:
            await ask()
        assert caught.value.errno == errno.ENETDOWN
    await linked.listen()
    await linked.connect()


async def test_a_host_without_power_is_silent(autojump_clock: object) -> None:
    linked = Linked(1.0)
    linked.links.set_buffer(AB, 10)
    near, far = await linked.pair()
    await far.send_all(b"before")
    linked.network.crash("b", told=False)
    await far.aclose()
    assert await near.receive_some() == b"before"
    await near.send_all(bytes(10))
    for ask in (near.receive_some, lambda: near.send_all(b"x"), linked.connect):
        with trio.move_on_after(3600) as scope:
            await ask()
        assert scope.cancelled_caught


async def test_a_host_that_has_power_again_answers_and_knows_no_connection_from_before(
    autojump_clock: object,
) -> None:
    linked = Linked(1.0)
    asked, _ = await linked.pair()
    asks_later, _ = await linked.pair()
    linked.network.crash("b", told=False)
    await asked.send_all(b"x")

    async def connect() -> None:
        with pytest.raises(ConnectionRefusedError):
            await linked.connect()

    assert await seconds_until(connect, 60.0, lambda: linked.network.revive("b")) == 61.0
    with pytest.raises(trio.BrokenResourceError):
        await asked.receive_some()
    with trio.move_on_after(60) as scope:
        await asks_later.receive_some()
    assert scope.cancelled_caught
    await asks_later.send_all(b"x")
    with pytest.raises(trio.BrokenResourceError):
        await asks_later.receive_some()


async def test_a_host_that_has_power_again_does_not_answer_what_is_dropped(autojump_clock: object) -> None:
    linked = Linked(1.0)
    near, _ = await linked.pair()
    linked.network.crash("b", told=False)
    linked.links.drop(AB)
    linked.network.revive("b")
    await near.send_all(b"x")

    async def wait() -> None:
        with pytest.raises(trio.BrokenResourceError):
            await near.receive_some()

    assert await seconds_until(wait, 60.0, lambda: linked.links.mend(AB)) >= 61.0


@pytest.mark.parametrize("told", [True, False])
async def test_tasks_of_a_crashed_process_are_unwound_and_see_no_errors(
    told: bool, autojump_clock: object
) -> None:
    linked = Linked()
    linked.links.set_buffer(BA, 1)
    listener = await linked.listen()
    await linked.connect()
    far = await listener.accept()
    await far.send_all(b"x")
    asks: Sequence[Ask] = (far.receive_some, lambda: far.send_all(b"x"), listener.accept)
    async with trio.open_nursery() as nursery:
        for ask in asks:
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        linked.network.crash("b", told=told)
        nursery.cancel_scope.cancel()
    assert nursery.cancel_scope.cancelled_caught


async def test_links_make_connections_half_open_until_the_sender_gives_up(autojump_clock: object) -> None:
    linked = Linked()
    near, far = await linked.pair()
    linked.links.half_open("b")
    with pytest.raises(trio.BrokenResourceError):
        await far.send_all(b"x")
    await near.send_all(b"x")
    with trio.move_on_after(3600) as scope:
        await near.receive_some()
    assert scope.cancelled_caught
    await near.aclose()
