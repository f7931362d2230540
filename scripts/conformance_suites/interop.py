"""The interop cases of grpc-go in both directions: its client at our server, our client at its server."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
import trustme

from conformance_suites.interop_client import CASES
from conformance_suites.interop_server import serving
from conformance_suites.results import Case, Suite, SuiteError
from gossipnode.rpc import Channel, RpcError
from gossipnode.rpc.tls import client_ssl_context, open_tls_stream, server_ssl_context

HOST: Final = "localhost"
ADDRESS: Final = "127.0.0.1"
CASE_SECONDS: Final = 30.0
START_SECONDS: Final = 20.0
RETRY_SECONDS: Final = 0.05
# Cases of calls that no server knows, whose requests are not compressed by grpc-go's client.
WITHOUT_GZIP: Final = frozenset(["unimplemented_method", "unimplemented_service"])


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files of a CA, and of a server's certificate with its key, which the CA has signed."""

    ca: Path
    cert: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    files = Certificates(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    ca = trustme.CA()
    issued = ca.issue_cert(HOST, ADDRESS)
    ca.cert_pem.write_to_path(str(files.ca))
    files.cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(files.key))
    return files


async def their_client(program: Path, name: str, files: Certificates | None, *, gzip: bool = False) -> Suite:
    """grpc-go's cases at our server, over TLS if there are `files`."""
    context = None if files is None else server_ssl_context(None, files.cert, files.key, require_client=False)
    options = ["-gzip"] if gzip else []
    if files is not None:
        options += ["-ca", str(files.ca)]
    cases = [case.__name__ for case in CASES if not (gzip and case.__name__ in WITHOUT_GZIP)]
    async with serving(context) as port:
        command = [str(program), "-server", f"{ADDRESS}:{port}", *options]
        return Suite(name, [await run_case([*command, "-case", case], case) for case in cases])


async def run_case(command: list[str], name: str) -> Case:
    """A case that is a process: what it says last is why it failed."""
    with trio.move_on_after(CASE_SECONDS):
        done = await trio.run_process(command, capture_stderr=True, check=False)
        if done.returncode == 0:
            return Case(name)
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return Case(name, said[-1] if said else f"exit code {done.returncode}")
    return Case(name, f"took more than {CASE_SECONDS:g} s")


async def our_client(program: Path, name: str, files: Certificates | None) -> Suite:
    """Our cases at grpc-go's server, over TLS if there are `files`."""
    async with their_server(program, files) as port, channel_to(port, files) as channel:
        cases = []
        for case in CASES:
            failure = ""
            try:
                with trio.fail_after(CASE_SECONDS):
                    await case(channel)
            except (AssertionError, RpcError, trio.TooSlowError) as error:
                failure = f"{type(error).__name__}: {error}"
            cases.append(Case(case.__name__, failure))
        return Suite(name, cases)


@asynccontextmanager
async def their_server(program: Path, files: Certificates | None) -> AsyncIterator[int]:
    """grpc-go's server on a free port, which is given once it accepts connections."""
    port = free_port()
    command = [str(program), "-port", str(port)]
    if files is not None:
        command += ["-use_tls", "-tls_cert_file", str(files.cert), "-tls_key_file", str(files.key)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.run_process, command)
        try:
            with trio.fail_after(START_SECONDS):
                while not await accepts(port):  # noqa: ASYNC110 - a process of somebody else has no event
                    await trio.sleep(RETRY_SECONDS)
        except trio.TooSlowError as error:
            raise SuiteError(f"the server of grpc-go does not listen on port {port}") from error
        yield port
        nursery.cancel_scope.cancel()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        port: int = probe.getsockname()[1]
        return port


async def accepts(port: int) -> bool:
    try:
        stream = await trio.open_tcp_stream(ADDRESS, port)
    except OSError:
        return False
    await stream.aclose()
    return True


def channel_to(port: int, files: Certificates | None) -> Channel:
    context: ssl.SSLContext | None = None if files is None else client_ssl_context(files.ca)

    async def connect() -> trio.abc.Stream:
        if context is None:
            return await trio.open_tcp_stream(ADDRESS, port)
        return await open_tls_stream(ADDRESS, port, context, server_hostname=HOST)

    return Channel(connect, authority=HOST, scheme="http" if context is None else "https")
