"""Fixtures of the tests that run under both libraries, against a scripted node on loopback."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.client.scripted_node import Scripted
from tests.client.support import BACKENDS, on_loopback


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def node() -> Scripted:
    return Scripted()


@pytest.fixture
def address(node: Scripted) -> Iterator[str]:
    with on_loopback(node.handlers) as address:
        yield address
