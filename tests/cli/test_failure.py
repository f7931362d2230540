"""How a command ends when the node refuses, does not know, or does not answer."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from gossipnode.rpc import Method, RpcError, Status
from gossipnode.wire import services
from tests.cli.answers import COMMANDS
from tests.cli.conftest import Cli, Peer


@pytest.mark.usefixtures("one_line_on_standard_input")
@pytest.mark.parametrize(("arguments", "method", "answer"), COMMANDS, ids=[case[0][0] for case in COMMANDS])
def test_too_few_replicas_are_exit_code_4(
    ask_peer: Cli, peer: Peer, arguments: list[str], method: Method[Any, Any], answer: Any
) -> None:
    problem = "1 of 3 replicas took it, quorum needs 2; not: b (no answer), c (down)"
    peer.answers[method] = RpcError(Status.UNAVAILABLE, problem)
    ended = ask_peer(*arguments)
    assert ended.code == 4
    assert f"{peer.address}: {problem}" in ended.problem


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.ALREADY_EXISTS, 1),
        (Status.FAILED_PRECONDITION, 1),
        (Status.RESOURCE_EXHAUSTED, 1),
        (Status.INVALID_ARGUMENT, 2),
        (Status.NOT_FOUND, 3),
        (Status.UNAVAILABLE, 4),
        (Status.PERMISSION_DENIED, 5),
    ],
)
def test_every_refusal_is_one_line_and_its_exit_code(
    ask_peer: Cli, peer: Peer, status: Status, code: int
) -> None:
    error = RpcError(status, "because of\nthis")
    peer.answers = dict.fromkeys(
        [
            services.NODE_CREATE_GROUP,
            services.NODE_ALTER_GROUP,
            services.NODE_LIST_GROUPS,
            services.NODE_DELETE_GROUP,
            services.NODE_FORGET_MEMBER,
        ],
        error,
    )
    for arguments in (
        ["group", "create", "sw", "--shards", "1", "--replicas", "3"],
        ["group", "alter", "sw", "--ack", "one"],
        ["group", "list"],
        ["group", "show", "sw"],
        ["group", "delete", "sw"],
        ["member", "forget", "c"],
    ):
        ended = ask_peer(*arguments)
        assert (ended.code, ended.out) == (code, ""), arguments
        assert "because of this" in ended.problem


def test_no_node_there(cli: Cli) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for arguments in (["get", "sw/a/1"], ["status"], ["export", "sw"], ["query", "sw"], ["repair", "sw"]):
            ended = cli(*arguments, "--at", address)
            assert (ended.code, ended.out) == (4, "")
            assert f"no node answers at {address}: connection refused" in ended.problem


@pytest.mark.slow
def test_a_silent_peer_runs_into_the_timeout(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        ended = cli("export", "sw", "--at", address, "--timeout", "0.2")
        assert ended.code == 4
        assert f"{address} sent nothing for 0.2 s" in ended.problem
        ended = cli("get", "sw/a/1", "--at", address, "--timeout", "0.2")
        assert ended.code == 4
        assert "no answer within 0.2 s" in ended.problem


@pytest.mark.slow
def test_what_listens_there_is_no_node(cli: Cli) -> None:
    class Page(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            """Stay silent: stderr is the command's."""

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        serving = threading.Thread(target=server.handle_request)
        serving.start()
        address = f"127.0.0.1:{server.server_port}"
        ended = cli("status", "--at", address)
        serving.join()
    assert ended.code == 4
    assert address in ended.problem
    assert "is a gossipnode node running there?" in ended.problem


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "nope/x/1"],
        ["apply", "nope/x/1", "a=1"],
        ["delete", "nope/x/1"],
        ["query", "nope"],
        ["export", "nope"],
        ["tree", "nope", "--shard", "0"],
        ["repair", "nope"],
        ["repair", "nope", "--wait"],
        ["import", "nope", "unicode"],
    ],
)
def test_an_unknown_group(ask: Cli, arguments: list[str]) -> None:
    ended = ask(*arguments)
    assert (ended.code, ended.out) == (3, "")
    assert "'nope'" in ended.problem


@pytest.mark.slow
def test_an_unknown_shard(ask: Cli) -> None:
    for arguments in (["tree", "sw", "--shard", "7"], ["repair", "sw", "--shard", "7", "--wait"]):
        ended = ask(*arguments)
        assert ended.code == 3
        assert "7" in ended.problem


@pytest.mark.slow
def test_a_groups_own_by_the_node_is_refused(ask: Cli) -> None:
    ended = ask("apply", "_gossipnode/x/1", "a=1")
    assert ended.code in (3, 5)
    assert "_gossipnode" in ended.problem
