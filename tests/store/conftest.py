from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gossipnode.store.sqlite import indexes
from gossipnode.store.sqlite.tables import drop, index_table
from tests.store.support import Handle, SqliteHandle, open_handle, quick_directory


@pytest.fixture
def directory() -> Iterator[Path]:
    with quick_directory() as made:
        yield made


@pytest.fixture(params=["sqlite", "memory"])
async def handle(request: pytest.FixtureRequest, directory: Path) -> AsyncIterator[Handle]:
    async with open_handle(request.param, directory / "data") as opened:
        yield opened


@pytest.fixture
async def sqlite(directory: Path) -> AsyncIterator[SqliteHandle]:
    async with open_handle("sqlite", directory / "data") as opened:
        assert isinstance(opened, SqliteHandle)
        yield opened


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several steps are needed for the few rows that a test has."""
    monkeypatch.setattr(drop, "DROP_STEP_RECORDS", 5)
    monkeypatch.setattr(drop, "INDEX_CLEAR_ROWS", 5)
    monkeypatch.setattr(indexes, "INDEX_CLEAR_ROWS", 5)
    monkeypatch.setattr(index_table, "INDEX_READ_ROWS", 2)
