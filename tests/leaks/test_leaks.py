"""Calls and requests that end in any way leave nothing behind. `scripts/fuzz leaks` makes 10,000 each."""

from __future__ import annotations

import gc
import logging
import random
from collections.abc import Iterator

import pytest

from tests.leaks.calls import KINDS, leaks_of_calls
from tests.leaks.requests import leaks_of_requests

CALLS = 300
REQUESTS = 250
WARM_UP = 80


@pytest.fixture(autouse=True)
def only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The collector does not count what is there before a test. The order of tasks is the same each time."""
    monkeypatch.setattr("trio._core._run._r", random.Random(1))
    logging.disable()  # pytest keeps the records, and what is in them
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    logging.disable(logging.NOTSET)


@pytest.mark.slow
@pytest.mark.parametrize("losses", [False, True], ids=["whole", "lost"])
@pytest.mark.parametrize("kind", KINDS)
async def test_calls_leave_nothing_behind(kind: str, losses: bool, autojump_clock: object) -> None:
    found, ends, _ = await leaks_of_calls(kind, CALLS, seed=2, losses=losses, warm_up=WARM_UP)
    assert found == []
    assert {"answered", "given up", "ABORTED"} <= ends.keys()
    assert ("UNAVAILABLE" in ends) == losses


@pytest.mark.slow
async def test_requests_to_a_cluster_leave_nothing_behind(autojump_clock: object) -> None:
    found, ends, _ = await leaks_of_requests(REQUESTS, seed=1, warm_up=WARM_UP)
    assert found == []
    assert {"answered", "given up", "DEADLINE_EXCEEDED"} <= ends.keys()
