"""TLS under Trio and under asyncio: certificates that fit, and each way in which they do not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trustme

from gossipnode.client import (
    ClientError,
    InvalidInputError,
    RefusedError,
    TlsError,
    TlsFiles,
    connect,
)
from gossipnode.rpc.tls import server_ssl_context
from tests.client.scripted_node import Scripted
from tests.client.support import on_loopback, run, take

NODES: dict[str, dict[str, Any]] = {
    "named": {},
    "expired": {"not_after": datetime(2024, 5, 6, tzinfo=UTC)},
    "early": {"not_before": datetime(2990, 5, 6, tzinfo=UTC), "not_after": datetime(2991, 1, 1, tzinfo=UTC)},
}
"""Certificates of a node that is called a, with their dates."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TlsFiles]:
    """Files of clients: ours, another CA's, none of its own, and our CA with a certificate of the other."""
    directory = tmp_path_factory.mktemp("tls")
    made: dict[str, TlsFiles] = {}
    for owner in ("ours", "theirs"):
        authority = trustme.CA()
        ca, pem = directory / f"{owner}.ca", directory / f"{owner}.pem"
        authority.cert_pem.write_to_path(str(ca))
        authority.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
        made[owner] = TlsFiles(ca, pem, pem)
        if owner == "ours":
            for file, options in NODES.items():
                issued = authority.issue_cert("a", "a.example", **options)
                issued.private_key_and_cert_chain_pem.write_to_path(str(directory / file))
                made[file] = TlsFiles(ca, directory / file, directory / file)
    made["none"] = TlsFiles(made["ours"].ca)
    made["wrong"] = TlsFiles(made["ours"].ca, made["theirs"].cert, made["theirs"].key)
    return made


@pytest.fixture
def tls_address(node: Scripted, certificates: dict[str, TlsFiles]) -> Iterator[str]:
    with served(node, certificates["ours"]) as address:
        yield address


@contextmanager
def served(node: Scripted, ours: TlsFiles) -> Iterator[str]:
    """A node that shows this certificate, at an address."""
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
        ("theirs", TlsError, "is not trusted: its certificate is not of our CA (self-signed certificate"),
        (None, TlsError, " speaks TLS: give tls=TlsFiles(ca, cert, key)"),
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


def asked(backend: str, address: str, tls: TlsFiles, server_name: str | None = None) -> str:
    """Ask a node; gives the error after its address, or nothing."""

    async def work() -> None:
        async with connect(address, tls=tls, server_name=server_name, timeout=1) as client:
            await client.get("g", "n", "i")

    try:
        run(backend, work)
    except TlsError as error:
        return str(error).removeprefix(f"{address} ")
    return ""


@pytest.mark.slow
def test_a_name_that_is_not_that_of_the_address(
    backend: str, node: Scripted, certificates: dict[str, TlsFiles]
) -> None:
    ours = certificates["ours"]
    with served(node, certificates["named"]) as address:
        assert asked(backend, address, ours, "a.example") == ""
        said = "is not trusted: its certificate is for a, a.example, not for {}: server_name= says which name"
        assert asked(backend, address, ours).startswith(said.format("127.0.0.1"))
        assert asked(backend, address, ours, "b").startswith(said.format("b"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("owner", "said"),
    [
        (
            "expired",
            "is not trusted: its certificate expired on 2024-05-06 00:00 UTC: "
            "give the node a new one and send it SIGHUP",
        ),
        (
            "early",
            "is not trusted: its certificate is not valid before 2990-05-06 00:00 UTC: "
            "check the clocks of both machines",
        ),
    ],
)
def test_dates(
    backend: str, node: Scripted, certificates: dict[str, TlsFiles], owner: str, said: str
) -> None:
    with served(node, certificates[owner]) as address:
        assert asked(backend, address, certificates["ours"], "a") == said


@pytest.mark.slow
def test_a_node_without_tls(backend: str, node: Scripted, certificates: dict[str, TlsFiles]) -> None:
    with on_loopback(node.handlers) as address:
        said = "does not speak TLS: leave tls out"
        assert asked(backend, address, certificates["ours"]) == said


@pytest.mark.parametrize(
    ("tls", "name", "problem"),
    [
        (False, "a", "server_name is a name in certificates: give tls as well"),
        (True, "", "tls: the server name '' is no name that a certificate can have"),
        (True, ".a", "tls: the server name '.a' is no name that a certificate can have"),
        (True, 7, "server_name is a text, not a int"),
    ],
)
def test_a_name_that_cannot_be_expected(
    backend: str, certificates: dict[str, TlsFiles], tls: bool, name: Any, problem: str
) -> None:
    async def work() -> None:
        given = certificates["ours"] if tls else None
        async with connect("127.0.0.1:1", tls=given, server_name=name):
            raise AssertionError("nothing is to be asked")

    with pytest.raises(InvalidInputError) as caught:
        run(backend, work)
    assert str(caught.value).startswith(problem)
