"""What a user is told of a failure of TLS, in the words of the command line and of the library."""

from __future__ import annotations

import pytest

from gossipnode.cli.failure import UNREACHABLE, failure_of
from gossipnode.client.calls.tls_failures import OF_COMMANDS, OF_LIBRARY, tls_failure
from gossipnode.client.errors import RefusedError, TlsError
from gossipnode.client.transport.handshake_trouble import NO_TLS
from gossipnode.config.address import Address
from gossipnode.rpc.status import SPEAKS_TLS

A = Address("a", 1)
REFUSED = "[SSL: TLSV1_ALERT_{0}] tlsv1 alert"


@pytest.mark.parametrize(
    ("said", "of_commands", "of_library"),
    [
        (
            f"the server is closing the connection: {SPEAKS_TLS}",
            "speaks TLS: give --ca (and --cert, --key)",
            "speaks TLS: give tls=TlsFiles(ca, cert, key)",
        ),
        (
            f"a:1 cannot be reached: {NO_TLS}",
            "does not speak TLS: leave --ca out",
            "does not speak TLS: leave tls out",
        ),
        (
            "a:1 cannot be reached: its certificate is for b, not for a",
            "is not trusted: its certificate is for b, not for a: --server-name says which name to expect",
            "is not trusted: its certificate is for b, not for a: server_name= says which name to expect",
        ),
        (
            "a:1 cannot be reached: its certificate is not of our CA (no)",
            "is not trusted: its certificate is not of our CA (no): give the CA of its cluster as --ca",
            "is not trusted: its certificate is not of our CA (no): give the CA of its cluster in TlsFiles",
        ),
    ],
)
def test_no_tls_was_agreed_upon(said: str, of_commands: str, of_library: str) -> None:
    for todo, words in ((OF_COMMANDS, of_commands), (OF_LIBRARY, of_library)):
        error = tls_failure(said, A, todo)
        assert type(error) is TlsError
        assert str(error) == f"a:1 {words}"
        # A node was there, so nobody is asked whether it is running.
        failure = failure_of(error)
        assert (str(failure), failure.exit_code) == (f"a:1 {words}", UNREACHABLE)


@pytest.mark.parametrize(
    ("alert", "words"),
    [
        ("UNKNOWN_CA", "(unknown ca): it wants one signed by its CA"),
        ("CERTIFICATE_EXPIRED", "(certificate expired): use a new one, signed by its CA"),
        ("CERTIFICATE_REQUIRED", "(certificate required): give --cert and --key"),
    ],
)
def test_the_node_refuses_our_certificate(alert: str, words: str) -> None:
    error = tls_failure(REFUSED.format(alert), A, OF_COMMANDS)
    assert type(error) is RefusedError
    assert str(error) == f"a:1 refuses our certificate {words}"


@pytest.mark.parametrize("said", ["", "a:1 cannot be reached: connection refused", "1 of 3 took it"])
def test_another_failure_is_none_of_tls(said: str) -> None:
    assert tls_failure(said, A, OF_LIBRARY) is None
