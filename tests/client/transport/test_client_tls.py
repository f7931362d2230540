"""TLS under Trio and under asyncio: certificates that fit, and each way in which they do not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from gossipnode.client import (
    ClientError,
    NoNodeError,
    RefusedError,
    TlsFiles,
    UnreachableError,
    connect,
)
from gossipnode.rpc.tls import server_ssl_context
from tests.client.scripted_node import Scripted
from tests.client.support import on_loopback, run, take


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
