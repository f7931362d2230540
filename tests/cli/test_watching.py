"""`--watch`: what it shows, what it does while the node is away, and how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from typing import Any

import pytest

from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer

AWAY = RpcError(Status.UNAVAILABLE, "the node is stopping")


pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossipnode.cli.watching.WATCH_SECONDS", 0.001)


def one_by_one(*answers: messages.StatusResponse | RpcError) -> Callable[[Any], messages.StatusResponse]:
    """One answer after the other, and then Ctrl-C."""
    left = list(answers)

    def answer(_request: Any) -> messages.StatusResponse:
        found = left.pop(0) if left else answers[-1]
        if not left:
            signal.raise_signal(signal.SIGINT)
        if isinstance(found, RpcError):
            raise found
        return found

    return answer


def told(epoch: int) -> messages.StatusResponse:
    return messages.StatusResponse(node="a", address="h:1", state="ready", epoch=epoch)


@pytest.mark.parametrize("command", ["status", "members"])
def test_what_differs_is_shown_and_a_node_that_is_away_is_waited_for(
    ask_peer: Cli, peer: Peer, command: str
) -> None:
    peer.answers[services.NODE_STATUS] = one_by_one(told(3), told(3), AWAY, AWAY, told(4), told(4))
    ended = ask_peer(command, "--watch")
    assert ended.code == 0
    assert [ended.out.count(f"epoch {epoch}") for epoch in (3, 4)] == [1, 1]
    assert ended.problem.endswith("the node is stopping")


def test_json_is_a_line_for_each_answer_that_differs(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = one_by_one(told(3), told(3), told(4), told(4))
    ended = ask_peer("status", "--watch", "-o", "json")
    assert (ended.code, ended.err) == (0, "")
    assert [json.loads(line)["epoch"] for line in ended.out.splitlines()] == [3, 4]


def test_a_node_that_is_not_there_at_first_is_an_error(ask_peer: Cli, peer: Peer) -> None:
    peer.answers[services.NODE_STATUS] = AWAY
    ended = ask_peer("members", "--watch")
    assert (ended.code, ended.out) == (4, "")
    assert ended.problem.endswith("the node is stopping")
