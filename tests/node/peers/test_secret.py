"""The proof of the secret, from each of its ends against an other end that does not know it."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from gossipnode.core.access.secret_proof import NONCE_BYTES, Meeting
from gossipnode.node.peers.secret import PROVE_SECONDS, Secret
from gossipnode.rpc import Channel, Greet, RpcError, Server, Status
from gossipnode.wire import services
from gossipnode.wire.generated.pb.gossipnode.v1 import access_pb2 as pb


def secret(node: str, *secrets: str, cluster: str = "main") -> Secret:
    return Secret(node, cluster, secrets, random.Random(node))


@asynccontextmanager
async def channel_to(serve: Any, greet: Greet | None = None) -> AsyncGenerator[Channel]:
    """A channel to a server with one handler."""
    server = Server({services.PROVE: serve})
    async with trio.open_nursery() as nursery:

        async def connect() -> trio.abc.Stream:
            ours, theirs = trio.testing.memory_stream_pair()
            nursery.start_soon(server.serve_stream, theirs)
            return ours

        async with Channel(connect, greet=greet) as channel:
            yield channel
        nursery.cancel_scope.cancel()


async def meet(caller: Secret, server: Secret, name: str | None = "b") -> RpcError | None:
    """Why one node does not take the other for a member; None if both know the secret."""
    async with channel_to(server.serve, caller.greeting(name)) as channel:
        try:
            # Any call will do: the greeting comes first.
            async with channel.stream(services.PROVE, timeout=60):
                return None
        except RpcError as error:
            return error


@pytest.mark.parametrize(
    ("ours", "theirs"), [(("s",), ("s",)), (("new", "old"), ("old",)), (("old",), ("new", "old"))]
)
async def test_two_nodes_with_a_common_secret_meet(
    ours: tuple[str, ...], theirs: tuple[str, ...], autojump_clock: object
) -> None:
    assert await meet(secret("a", *ours), secret("b", *theirs)) is None
    assert await meet(secret("a", *ours), secret("b", *theirs), name=None) is None


@pytest.mark.parametrize(
    ("server", "status", "says"),
    [
        (secret("b", "x"), Status.UNAUTHENTICATED, "b has another [cluster] secret: all members need"),
        (secret("b", "s", cluster="other"), Status.UNAUTHENTICATED, "b has another [cluster] secret"),
        (secret("b"), Status.FAILED_PRECONDITION, "b has no [cluster] secret"),
        (secret("c", "s"), Status.UNAVAILABLE, "'c' answers there, not b"),
    ],
)
async def test_others_do_not_meet_and_the_caller_says_why(
    server: Secret, status: Status, says: str, autojump_clock: object
) -> None:
    error = await meet(secret("a", "s"), server)
    assert error is not None
    assert error.status is status
    assert says in (error.message or "")


@pytest.mark.parametrize("proofs", [[], [b""], [b"x" * 32] * 5])
async def test_a_server_that_proves_nothing_gets_no_proof(
    proofs: list[bytes], autojump_clock: object
) -> None:
    """With a proof of ours, it could pass for us elsewhere."""
    heard: list[pb.ProveRequest] = []

    async def impostor(stream: Any) -> None:
        heard.append(await stream.recv())
        await stream.send(pb.ProveReply(node="b", nonce=b"n" * NONCE_BYTES, proofs=proofs))
        while (request := await stream.recv()) is not None:
            heard.append(request)

    async with channel_to(impostor, secret("a", "s").greeting("b")) as channel:
        with pytest.raises(RpcError, match=r"another .cluster. secret"):
            async with channel.stream(services.PROVE, timeout=60):
                pass
    assert [bool(request.proof) for request in heard] == [False]


async def test_a_server_that_ends_without_a_word_is_not_taken_for_a_member(autojump_clock: object) -> None:
    async def mute(stream: Any) -> None:
        await stream.recv()

    async with channel_to(mute, secret("a", "s").greeting("b")) as channel:
        with pytest.raises(RpcError, match="proves no"):
            async with channel.stream(services.PROVE, timeout=60):
                pass


async def said_to(server: Secret, nonce: bytes, proof: bytes | None = None, *, waits: float = 0) -> Status:
    """How a server ends a call that says this, and then the right proof unless another one is given."""
    async with channel_to(server.serve) as channel, channel.stream(services.PROVE, timeout=None) as stream:
        try:
            await stream.send(pb.ProveRequest(node="a", nonce=nonce))
            reply = await stream.recv()
            assert reply is not None
            await trio.sleep(waits)
            meeting = Meeting("main", "a", "b", nonce, reply.nonce)
            await stream.send(pb.ProveRequest(proof=meeting.caller_proof("s") if proof is None else proof))
            await stream.half_close()
            assert await stream.recv() is None
        except RpcError as error:
            return error.status
    return Status.OK


async def test_a_server_takes_the_right_proof_alone_and_in_time(autojump_clock: object) -> None:
    server, nonce = secret("b", "s"), b"n" * NONCE_BYTES
    assert await said_to(server, nonce) is Status.OK
    assert await said_to(server, nonce, b"") is Status.UNAUTHENTICATED
    assert await said_to(server, nonce, b"x" * 32) is Status.UNAUTHENTICATED
    assert await said_to(server, b"") is Status.INVALID_ARGUMENT
    assert await said_to(server, nonce + b"n") is Status.INVALID_ARGUMENT
    assert await said_to(server, nonce, waits=PROVE_SECONDS + 1) is Status.DEADLINE_EXCEEDED


async def test_each_meeting_has_a_nonce_of_its_own(autojump_clock: object) -> None:
    nonces: set[bytes] = set()
    server = secret("b", "s")
    for _ in range(20):
        async with channel_to(server.serve) as channel, channel.stream(services.PROVE, timeout=5) as stream:
            await stream.send(pb.ProveRequest(node="a", nonce=b"n" * NONCE_BYTES))
            reply = await stream.recv()
            assert reply is not None
            nonces.add(reply.nonce)
    assert len(nonces) == 20


def test_without_a_secret_nobody_is_greeted() -> None:
    assert secret("a").greeting("b") is None
