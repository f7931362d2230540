from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.support import Handle, SqliteHandle, open_handle


@pytest.fixture(params=["sqlite", "memory"])
async def handle(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Handle]:
    async with open_handle(request.param, tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def sqlite(tmp_path: Path) -> AsyncIterator[SqliteHandle]:
    async with open_handle("sqlite", tmp_path / "data") as opened:
        assert isinstance(opened, SqliteHandle)
        yield opened
