"""What this room relies on in other packages without a promise of theirs: an upgrade fails here first."""

import ssl
import subprocess
import sys
from collections import deque
from importlib.metadata import version

import grpclib.exceptions
import grpclib.metadata
import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from hpack import Decoder, Encoder


def test_grpclib_version():
    assert version("grpclib") == "0.4.9"


def test_grpclib_names():
    assert list(grpclib.metadata.encode_metadata({"a": "b", "c-bin": b"\0"})) == [("a", "b"), ("c-bin", "AA")]
    assert grpclib.metadata.encode_grpc_message("ü%") == "%C3%BC%25"
    assert grpclib.metadata.decode_grpc_message("%C3%BC%25") == "ü%"
    assert grpclib.metadata.decode_timeout("5m") == 0.005
    error = grpclib.exceptions.GRPCError(grpclib.const.Status.ABORTED, "text")
    assert (error.status, error.message) == (grpclib.const.Status.ABORTED, "text")


def test_hpack_tables():
    """The decoder's newest entry and its size tell whether a block changed the table."""
    decoder, encoder = Decoder(1000), Encoder()
    table = decoder.header_table
    assert isinstance(table.dynamic_entries, deque)
    assert table.maxsize == 4096
    decoder.decode(encoder.encode([("a", "1")]), raw=True)
    newest = table.dynamic_entries[0]
    assert newest == (b"a", b"1")
    decoder.decode(encoder.encode([("a", "1")]), raw=True)
    assert table.dynamic_entries[0] is newest
    decoder.decode(encoder.encode([("b", "2")]), raw=True)
    assert table.dynamic_entries[0] is not newest
    encoder.header_table_size = 100
    decoder.decode(encoder.encode([("a", "1")]), raw=True)
    assert table.maxsize == 100


async def test_trio_keeps_an_unsent_alert():
    ours, _ = trio.testing.memory_stream_pair()
    stream = trio.SSLStream(ours, ssl.create_default_context(), server_hostname="x")
    assert stream._outgoing.read() == b""


def test_h2_codes():
    assert ErrorCodes.ENHANCE_YOUR_CALM == 11
    assert SettingCodes.MAX_HEADER_LIST_SIZE == 6


@pytest.mark.slow
def test_no_asyncio_is_imported():
    code = "import sys, gossipnode.rpc, gossipnode.rpc.server.health; print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
