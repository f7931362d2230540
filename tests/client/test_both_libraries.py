"""The same calls under Trio and under asyncio, over real sockets, against a scripted node."""

from __future__ import annotations

import gc
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import trustme

from gossipnode.client import (
    ClientError,
    FailedError,
    InvalidRequestError,
    NoNodeError,
    NotFoundError,
    RefusedError,
    Timestamp,
    TlsFiles,
    UnreachableError,
    connect,
)
from gossipnode.rpc import CallContext, RpcError, ServerStream, Status
from gossipnode.rpc.tls import server_ssl_context
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from gossipnode.wire.property.property_edit import read_property
from tests.client.support import BACKENDS, WAIT_SECONDS, Handlers, on_loopback, run, stored, take

BIG = "x" * 10_000


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Scripted:
    """A node that keeps records by id, and remembers what became of its calls."""

    def __init__(self) -> None:
        self.records: dict[str, messages.Record] = {}
        self.seconds: list[float | None] = []
        """How long each caller was willing to wait."""
        self.let_go = threading.Event()
        """A call that never ends was ended by its caller."""

    async def apply(self, request: messages.ApplyRequest, call: CallContext) -> messages.ApplyResponse:
        self._note(call)
        id_ = read_property(request.property).entity.id
        created = id_ not in self.records
        self.records[id_] = messages.Record(property=request.property)
        return messages.ApplyResponse(created=created, property=request.property, acknowledged=2, replicas=3)

    async def get(self, request: messages.GetRequest, call: CallContext) -> messages.GetResponse:
        self._note(call)
        if request.name == "hang":
            await self._hang()
        if request.name == "fail":
            raise RpcError(Status[request.id], "why\nnot")
        if request.name == "big":
            return messages.GetResponse(record=messages.Record(property=bytes(5 << 20)))
        record = self.records.get(request.id)
        return messages.GetResponse() if record is None else messages.GetResponse(record=record)

    async def delete(self, request: messages.DeleteRequest, call: CallContext) -> messages.DeleteResponse:
        return messages.DeleteResponse(deleted=self.records.pop(request.id, None) is not None)

    async def query(self, stream: ServerStream[messages.QueryRequest, messages.RecordBatch]) -> None:
        request = await stream.recv()
        assert request is not None
        name, limit = request.query.name, request.query.limit
        for at in range(0, limit, 20):
            ids = range(at, min(at + 20, limit))
            await stream.send(messages.RecordBatch(records=[stored(f"{id_:06}", big=BIG) for id_ in ids]))
            if name == "fail":
                raise RpcError(Status.RESOURCE_EXHAUSTED, "why")
            if name == "hang":
                await self._hang()

    async def _hang(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self.let_go.set()

    def _note(self, call: CallContext) -> None:
        self.seconds.append(None if call.deadline is None else call.deadline - trio.current_time())

    @property
    def handlers(self) -> Handlers:
        return {
            services.NODE_APPLY: self.apply,
            services.NODE_GET: self.get,
            services.NODE_DELETE: self.delete,
            services.NODE_QUERY: self.query,
        }


@pytest.fixture
def node() -> Scripted:
    return Scripted()


@pytest.fixture
def address(node: Scripted) -> Iterator[str]:
    with on_loopback(node.handlers) as address:
        yield address


def test_records(backend: str, address: str, node: Scripted) -> None:
    tags = {"a": 1, "b": ["x", "y"], "c": b"\0", "d": None, "e": Timestamp(5, 6), "f": "text", "g": [7]}

    async def work() -> None:
        async with connect(address, timeout=7) as client:
            applied = await client.apply("g", "n", "i", tags)
            assert (applied.created, applied.acknowledged, applied.replicas) == (True, 2, 3)
            assert applied.property.tags == tags
            assert list(applied.property.tags) == list(tags)
            found = await client.get("g", "n", "i")
            assert found == applied.property
            assert found is not None
            assert found.key == "g/n/i"
            assert await client.delete("g", "n", "i")
            assert not await client.delete("g", "n", "i")
            assert await client.get("g", "n", "i") is None

    run(backend, work)
    for seconds in node.seconds:
        assert seconds is not None
        assert 6 < seconds < 7.8


def test_a_query_of_many_bytes(backend: str, address: str) -> None:
    """Far more than the windows of a connection."""
    count = 1000

    async def work() -> None:
        async with connect(address) as client:
            assert await take(client.query("g", limit=count)) == [f"{id_:06}" for id_ in range(count)]

    run(backend, work)


def test_many_calls_at_once(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client, anyio.create_task_group() as tasks:

            async def one(number: int) -> None:
                await client.apply("g", "n", str(number), {"number": number})
                found = await client.get("g", "n", str(number))
                assert found is not None
                assert found.tags == {"number": number}

            for number in range(100):
                tasks.start_soon(one, number)

    run(backend, work)


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        ("NOT_FOUND", NotFoundError, "why not"),
        ("INVALID_ARGUMENT", InvalidRequestError, "why not"),
        ("PERMISSION_DENIED", RefusedError, "{} refuses: why not"),
        ("RESOURCE_EXHAUSTED", FailedError, "{}: why not"),
        ("INTERNAL", FailedError, "{}: why not"),
    ],
)
def test_a_status_is_an_error(
    backend: str, address: str, status: str, kind: type[ClientError], message: str
) -> None:
    async def work() -> None:
        async with connect(address) as client:
            await client.get("g", "fail", status)

    with pytest.raises(ClientError) as caught:
        run(backend, work)
    assert type(caught.value) is kind
    assert str(caught.value) == message.format(address)


def test_a_status_in_the_middle_of_a_query(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            records = client.query("g", name="fail")
            for _ in range(20):
                await anext(records)
            with pytest.raises(FailedError, match=f"{address}: why"):
                await anext(records)

    run(backend, work)


@pytest.mark.slow
def test_a_node_that_hangs(backend: str, address: str, node: Scripted) -> None:
    async def work() -> None:
        async with connect(address, timeout=0.3) as client:
            with pytest.raises(UnreachableError, match=rf"{address}: (no answer within|deadline exceeded)"):
                await client.get("g", "hang", "i")
            assert await client.get("g", "n", "i") is None
            with pytest.raises(UnreachableError, match=f"{address}: sent nothing for 0.3 s"):
                await take(client.query("g", name="hang"))
            assert await client.get("g", "n", "i") is None

    run(backend, work)
    assert node.let_go.wait(WAIT_SECONDS)


@pytest.mark.parametrize("how", ["break", "aclosing", "cancelled"])
def test_a_reader_leaves_early(backend: str, address: str, node: Scripted, how: str) -> None:
    """The node hears of it at once, while the client lives on."""

    async def work() -> None:
        async with connect(address) as client:
            if how == "break":
                async for _ in client.query("g", name="hang"):
                    break
                gc.collect()
            elif how == "aclosing":
                async with aclosing(client.query("g", name="hang")) as records:
                    await anext(records)
            else:
                with anyio.CancelScope() as scope:
                    async for record in client.query("g", name="hang"):
                        if record.id == "000019":
                            scope.cancel()
                await anyio.lowlevel.checkpoint()
                gc.collect()
            assert await anyio.to_thread.run_sync(node.let_go.wait, WAIT_SECONDS)
            assert await take(client.query("g", limit=1)) == ["000000"]

    run(backend, work)


def test_a_cancelled_call(backend: str, address: str, node: Scripted) -> None:
    async def work() -> None:
        async with connect(address) as client, anyio.create_task_group() as tasks:
            tasks.start_soon(client.get, "g", "hang", "i")
            while not node.seconds:
                await client.get("g", "n", "i")
            tasks.cancel_scope.cancel()

    run(backend, work)
    assert node.let_go.wait(WAIT_SECONDS)


def test_an_answer_above_the_limit(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            with pytest.raises(FailedError, match=r"4,?194,?304"):
                await client.get("g", "big", "i")
            assert await client.get("g", "n", "i") is None

    run(backend, work)


def test_the_block_keeps_its_own_error(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            await client.get("g", "n", "i")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(backend, work)


def test_a_closed_client(backend: str, address: str) -> None:
    async def work() -> None:
        async with connect(address) as client:
            records = client.query("g", name="hang")
            await anext(records)
        with pytest.raises(ClientError, match="the client is closed"):
            await client.get("g", "n", "i")
        with pytest.raises(ClientError, match="the client is closed"):
            await take(records)
        with pytest.raises(ClientError, match="the client is closed"):
            await take(client.query("g"))

    run(backend, work)


@pytest.mark.slow
def test_nobody_there(backend: str) -> None:
    async def work() -> None:
        async with connect("127.0.0.1:1", "localhost:2", "no-such-host.invalid:3", timeout=1) as client:
            await client.apply("g", "n", "i", {"a": 1})

    with pytest.raises(NoNodeError) as caught:
        run(backend, work)
    said = str(caught.value).split("; ")
    assert said[0] == "no node answers at 127.0.0.1:1: connection refused"
    assert said[1].startswith("no node answers at localhost:2: ")
    assert said[2].startswith("no node answers at no-such-host.invalid:3: ")


# --- peers that are no nodes ---


def close_at_once(peer: socket.socket) -> None:
    peer.close()


def talk_http_1(peer: socket.socket) -> None:
    peer.recv(100)
    peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    peer.close()


def never_answer(peer: socket.socket) -> None:
    while peer.recv(65536):
        pass
    peer.close()


@contextmanager
def raw_peer(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """Somebody who is no node listens, and treats each connection in a way of their own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_SECONDS)

        def serve() -> None:
            while True:
                try:
                    peer, _ = listener.accept()
                except OSError:
                    return
                peer.settimeout(WAIT_SECONDS)
                behave(peer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        # Wakes the thread out of its wait, which closing alone does not.
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(WAIT_SECONDS)


@pytest.mark.slow
@pytest.mark.parametrize("behave", [close_at_once, talk_http_1, never_answer])
def test_somebody_who_is_no_node(backend: str, behave: Any) -> None:
    async def work(address: str) -> None:
        async with connect(address, timeout=0.5) as client:
            with pytest.raises(UnreachableError, match=address):
                await client.get("g", "n", "i")
            with pytest.raises(UnreachableError, match=address):
                await take(client.query("g"))

    with raw_peer(behave) as address:
        run(backend, work, address)


@pytest.mark.slow
def test_somebody_who_is_no_node_is_passed_over(backend: str, address: str) -> None:
    async def work(bad: str, silent: str) -> None:
        async with connect(bad, silent, address, timeout=1) as client:
            for number in range(10):
                await client.apply("g", "n", str(number), {"a": 1})
            assert len(await take(client.query("g", limit=50))) == 50

    with raw_peer(talk_http_1) as bad, raw_peer(never_answer) as silent:
        run(backend, work, bad, silent)


# --- TLS ---


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    """What clients may have: all, no certificate of their own, or somebody else's."""
    directory = tmp_path_factory.mktemp("tls")
    made: dict[str, TlsFiles] = {}
    for owner in ("ours", "theirs"):
        authority = trustme.CA()
        ca, pem = directory / f"{owner}.ca", directory / f"{owner}.pem"
        authority.cert_pem.write_to_path(str(ca))
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        made[owner] = TlsFiles(ca, pem, pem)
    made["none"] = TlsFiles(made["ours"].ca)
    made["wrong"] = TlsFiles(made["ours"].ca, made["theirs"].cert, made["theirs"].key)
    return made


@pytest.fixture
def tls_address(node: Scripted, certificates: dict[str, TlsFiles]) -> Iterator[str]:
    ours = certificates["ours"]
    assert isinstance(ours.cert, Path)
    assert isinstance(ours.key, Path)
    context = server_ssl_context(ours.ca, ours.cert, ours.key, require_client=True)
    with on_loopback(node.handlers, context=context) as address:
        yield address


def test_tls(backend: str, tls_address: str, certificates: dict[str, TlsFiles]) -> None:
    async def work() -> None:
        async with connect(tls_address, tls=certificates["ours"]) as client:
            await client.apply("g", "n", "i", {"a": 1})
            assert len(await take(client.query("g", limit=50))) == 50
        port = tls_address.rpartition(":")[2]
        async with connect(f"localhost:{port}", tls=certificates["ours"]) as client:
            assert await client.get("g", "n", "i") is not None

    run(backend, work)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "kind", "message"),
    [
        ("none", RefusedError, "refuses our certificate (certificate required)"),
        ("wrong", RefusedError, "refuses our certificate (unknown ca)"),
        ("theirs", NoNodeError, "TLS handshake failed: "),
        (None, UnreachableError, ""),
    ],
)
def test_tls_that_does_not_fit(
    backend: str,
    tls_address: str,
    certificates: dict[str, TlsFiles],
    owner: str | None,
    kind: type[ClientError],
    message: str,
) -> None:
    async def work() -> None:
        tls = None if owner is None else certificates[owner]
        async with connect(tls_address, tls=tls, timeout=1) as client:
            await client.get("g", "n", "i")

    with pytest.raises(kind) as caught:
        run(backend, work)
    assert message in str(caught.value)
    assert tls_address in str(caught.value)
    assert "\n" not in str(caught.value)
