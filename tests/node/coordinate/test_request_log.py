"""Lines of a request carry its id, and lines of other tasks do not."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog
import trio

from gossipnode.node.coordinate.request_log import lines_name
from gossipnode.observe.logs import configure_logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("gossipnode").setLevel(logging.NOTSET)
    structlog.reset_defaults()


async def test_lines_of_a_request_name_it(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(form="json")

    async def say(what: str) -> None:
        structlog.get_logger("gossipnode.test").info(what)

    async def request(request_id: str) -> None:
        lines_name(request_id)
        await say(f"of {request_id}")
        logging.getLogger("gossipnode.rpc").error("call failed")
        async with trio.open_nursery() as children:
            children.start_soon(say, f"child of {request_id}")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(request, "r1")
        nursery.start_soon(request, "")
    await say("of none")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert sorted((line["event"], line.get("request", "")) for line in lines) == [
        ("call failed", ""),
        ("call failed", "r1"),
        ("child of ", ""),
        ("child of r1", "r1"),
        ("of ", ""),
        ("of none", ""),
        ("of r1", "r1"),
    ]
