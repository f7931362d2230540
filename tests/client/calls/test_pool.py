"""Calls to scripted nodes in memory, under virtual time: which node is asked, how often, and for how long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from gossipnode.client import (
    AlreadyExistsError,
    Client,
    ClientError,
    FailedError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from gossipnode.client.calls.pool import TRIES_PER_NODE_MAX
from gossipnode.rpc import CallContext, RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.client.support import Handlers, stage, stored

Answer = Callable[[], Awaitable[None]]


class Script:
    """A node that answers every call, after doing what it is told."""

    def __init__(self, then: Answer | None = None) -> None:
        self.then = then
        self.asked: list[Any] = []
        self.deadlines: list[float] = []
        """How many seconds each caller was willing to wait."""

    async def _answer(self, request: Any, call: CallContext, reply: Any) -> Any:
        self.asked.append(request)
        assert call.deadline is not None
        self.deadlines.append(call.deadline - trio.current_time())
        if self.then is not None:
            await self.then()
        return reply

    @property
    def handlers(self) -> Handlers:
        async def get(request: messages.GetRequest, call: CallContext) -> Any:
            return await self._answer(request, call, messages.GetResponse(record=stored(request.id)))

        async def apply(request: messages.ApplyRequest, call: CallContext) -> Any:
            reply = messages.ApplyResponse(created=True, property=request.property, replicas=3)
            return await self._answer(request, call, reply)

        async def delete(request: messages.DeleteRequest, call: CallContext) -> Any:
            return await self._answer(request, call, messages.DeleteResponse(deleted=True))

        async def create(request: messages.CreateGroupRequest, call: CallContext) -> Any:
            return await self._answer(request, call, messages.GroupResponse(members=3))

        return {
            services.NODE_GET: get,
            services.NODE_APPLY: apply,
            services.NODE_DELETE: delete,
            services.NODE_CREATE_GROUP: create,
        }


def failing(status: Status, message: str = "why") -> Answer:
    async def fail() -> None:
        raise RpcError(status, message)

    return fail


async def read(client: Client) -> Any:
    return await client.get("g", "n", "i")


async def write(client: Client) -> Any:
    return await client.apply("g", "n", "i", {"a": 1})


async def remove(client: Client) -> Any:
    return await client.delete("g", "n", "i")


async def create(client: Client) -> Any:
    return await client.create_group("g")


every_kind = pytest.mark.parametrize("call", [read, write, remove, create])
every_write = pytest.mark.parametrize("call", [write, remove])


async def test_one_node_is_asked_as_long_as_it_answers() -> None:
    a, b = Script(), Script()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        for _ in range(5):
            await read(client)
    assert (len(a.asked), len(b.asked)) == (5, 0)


@every_kind
async def test_a_node_that_is_not_there_is_passed_over(call: Any, autojump_clock: Any) -> None:
    b = Script()
    async with stage(b=b.handlers) as nodes, nodes.client("a", "b") as client:
        began = trio.current_time()
        for _ in range(3):
            await call(client)
        assert trio.current_time() == began
    assert len(b.asked) == 3


async def test_the_node_that_took_over_is_kept(autojump_clock: Any) -> None:
    a, b = Script(), Script()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        await read(client)
        await nodes.kill("a")
        await read(client)
        await nodes.serve("a", a.handlers)
        await trio.sleep(1000)
        await read(client)
    assert (len(a.asked), len(b.asked)) == (1, 2)


async def test_a_node_that_hangs_costs_one_try_and_is_then_avoided(autojump_clock: Any) -> None:
    a, b = Script(trio.sleep_forever), Script()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b", timeout=10) as client:
        began = trio.current_time()
        for _ in range(10):
            await read(client)
        assert trio.current_time() - began == pytest.approx(5)
    assert (len(a.asked), len(b.asked)) == (1, 10)


@every_kind
async def test_a_call_ends_at_its_timeout(call: Any, autojump_clock: Any) -> None:
    scripts = [Script(trio.sleep_forever) for _ in range(3)]
    a, b, c = (script.handlers for script in scripts)
    async with stage(a=a, b=b, c=c) as nodes, nodes.client("a", "b", "c", timeout=8) as client:
        began = trio.current_time()
        with pytest.raises(UnreachableError) as caught:
            await call(client)
        assert trio.current_time() - began == pytest.approx(8)
    asked = [len(script.asked) for script in scripts]
    if call is create:
        # The group may have been created, and a node could not recognize the request if it came again.
        assert asked == [1, 0, 0]
        assert str(caught.value) == "a:7400: no answer within 8 s"
    else:
        assert asked == [1, 1, 1]
        told = [
            "a:7400: no answer within 4 s",
            "b:7400: no answer within 2 s",
            "c:7400: no answer within 2 s",
        ]
        assert str(caught.value) == "; ".join(told)
    # The node is told how long its caller waits.
    assert scripts[0].deadlines[0] == pytest.approx(8 if call is create else 4, rel=0.1)


@every_write
async def test_a_write_that_is_tried_again_has_the_same_request_id(call: Any) -> None:
    async with stage() as nodes:

        async def die() -> None:
            await nodes.kill("a")

        a, b = Script(die), Script()
        await nodes.serve("a", a.handlers)
        await nodes.serve("b", b.handlers)
        async with nodes.client("a", "b") as client:
            await call(client)
            await call(client)
    first, second, other = a.asked[0].request_id, b.asked[0].request_id, b.asked[1].request_id
    assert first == second != other
    assert len(first) == 32
    assert int(first, 16) >= 0


async def test_what_cannot_be_known_again_is_not_tried_again() -> None:
    async with stage() as nodes:

        async def die() -> None:
            await nodes.kill("a")

        a, b = Script(die), Script()
        await nodes.serve("a", a.handlers)
        await nodes.serve("b", b.handlers)
        async with nodes.client("a", "b") as client:
            with pytest.raises(UnreachableError) as caught:
                await create(client)
    assert not isinstance(caught.value, NoNodeError)
    assert (len(a.asked), len(b.asked)) == (1, 0)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (Status.INVALID_ARGUMENT, InvalidRequestError, "why"),
        (Status.NOT_FOUND, NotFoundError, "why"),
        (Status.ALREADY_EXISTS, AlreadyExistsError, "why"),
        (Status.PERMISSION_DENIED, RefusedError, "a:7400 refuses: why"),
        (Status.UNAUTHENTICATED, RefusedError, "a:7400 refuses: why"),
        (Status.RESOURCE_EXHAUSTED, FailedError, "a:7400: why"),
        (Status.FAILED_PRECONDITION, FailedError, "a:7400: why"),
        (Status.ABORTED, FailedError, "a:7400: why"),
        (Status.INTERNAL, FailedError, "a:7400: why"),
        (Status.UNIMPLEMENTED, UnreachableError, "a:7400 does not know this call: is it a gossipnode node?"),
    ],
)
@every_kind
async def test_an_answer_is_an_answer(
    call: Any, status: Status, kind: type[ClientError], message: str
) -> None:
    a, b = Script(failing(status)), Script()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        for _ in range(2):
            with pytest.raises(ClientError) as caught:
                await call(client)
            assert type(caught.value) is kind
            assert str(caught.value) == message
    assert (len(a.asked), len(b.asked)) == (2, 0)


async def test_too_few_replicas_here_may_be_enough_elsewhere_for_a_read() -> None:
    a, b = Script(failing(Status.UNAVAILABLE, "1 of 3 answered")), Script()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        await read(client)
        assert (len(a.asked), len(b.asked)) == (1, 1)


@pytest.mark.parametrize("call", [write, remove, create])
async def test_too_few_replicas_for_a_write_is_its_outcome(call: Any, autojump_clock: Any) -> None:
    a, b = Script(failing(Status.UNAVAILABLE, "1 of 3 took it; b and c did not")), Script()
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:
        with pytest.raises(UnreachableError, match="a:7400: 1 of 3 took it; b and c did not"):
            await call(client)
        assert (len(a.asked), len(b.asked)) == (1, 0)
        # The next call is made at the other node first.
        await call(client)
        assert (len(a.asked), len(b.asked)) == (1, 1)


async def test_nobody_there(autojump_clock: Any) -> None:
    async with stage() as nodes, nodes.client("a", "b", "c", "d") as client:
        began = trio.current_time()
        with pytest.raises(NoNodeError) as caught:
            await write(client)
        # Every node was asked a few times, with short pauses.
        assert 1 < trio.current_time() - began < 5
    refused = [f"no node answers at {name}:7400: connection refused" for name in "abc"]
    assert str(caught.value) == "; ".join([*refused, "and 1 more"])


async def test_a_node_that_died_in_the_middle_is_told_apart_from_one_that_never_was(
    autojump_clock: Any,
) -> None:
    """The write may have happened: the error must not say that no node was there."""
    async with stage() as nodes:

        async def die() -> None:
            await nodes.kill("a")

        await nodes.serve("a", Script(die).handlers)
        async with nodes.client("b", "a") as client:
            with pytest.raises(UnreachableError) as caught:
                await write(client)
    # The last try at a found nothing there, but an earlier try had reached it.
    assert not isinstance(caught.value, NoNodeError)


async def test_tries_are_bounded(autojump_clock: Any) -> None:
    a = Script(failing(Status.UNAVAILABLE))
    async with stage(a=a.handlers) as nodes, nodes.client("a", timeout=1000) as client:
        with pytest.raises(UnreachableError, match="a:7400: why"):
            await read(client)
    assert len(a.asked) == TRIES_PER_NODE_MAX


async def test_a_single_node_may_restart_in_the_middle_of_a_call(autojump_clock: Any) -> None:
    a = Script()
    async with stage(a=a.handlers) as nodes, trio.open_nursery() as nursery:

        async def restart() -> None:
            await trio.sleep(0.5)
            await nodes.serve("a", a.handlers)

        async with nodes.client("a") as client:
            await read(client)
            await nodes.kill("a")
            nursery.start_soon(restart)
            await write(client)
            await read(client)
    assert len(a.asked) == 3


async def test_a_node_that_drains_is_left_without_a_failure(autojump_clock: Any) -> None:
    """It finishes what it has begun. New calls go to the other node, also one that is never repeated."""
    go = trio.Event()
    a, b = Script(go.wait), Script()
    done: list[str] = []
    async with stage(a=a.handlers, b=b.handlers) as nodes, nodes.client("a", "b") as client:

        async def call_then_note(call: Any) -> None:
            await call(client)
            done.append(call.__name__)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call_then_note, write)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(nodes.servers["a"].drain, 10)
            await trio.testing.wait_all_tasks_blocked()
            await call_then_note(create)
            assert done == ["create"]
            go.set()
    assert done == ["create", "write"]
    assert (len(a.asked), len(b.asked)) == (1, 1)


async def test_a_cancelled_call_is_cancelled(autojump_clock: Any) -> None:
    a = Script(trio.sleep_forever)
    async with stage(a=a.handlers) as nodes, nodes.client("a") as client:
        with trio.move_on_after(1) as scope:
            await read(client)
        assert scope.cancelled_caught
        a.then = None
        await read(client)


@pytest.mark.parametrize("error", [KeyError("mine"), ExceptionGroup("mine", [KeyError("x")])])
async def test_the_block_of_a_client_keeps_its_own_error(error: Exception) -> None:
    async with stage(a=Script().handlers) as nodes:

        async def work() -> None:
            async with nodes.client("a") as client:
                await read(client)
                raise error

        with pytest.raises(type(error)) as caught:
            await work()
        assert caught.value is error


@every_kind
async def test_a_closed_client_says_so(call: Any) -> None:
    async with stage(a=Script().handlers) as nodes:
        async with nodes.client("a") as client:
            pass
        with pytest.raises(ClientError, match="the client is closed"):
            await call(client)


async def test_a_call_in_another_task_ends_when_the_client_is_closed() -> None:
    a = Script(trio.sleep_forever)
    async with stage(a=a.handlers) as nodes, trio.open_nursery() as nursery:
        async with nodes.client("a") as client:

            async def call() -> None:
                with pytest.raises(ClientError, match="the client is closed"):
                    await read(client)

            nursery.start_soon(call)
            while not a.asked:
                await trio.lowlevel.checkpoint()
