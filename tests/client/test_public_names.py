"""What `gossipnode.client` exports, and that importing it loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gossipnode import client

HEAVY = ("trio", "anyio", "asyncio", "grpclib", "betterproto", "google.protobuf")


def imported(statement: str, *modules: str) -> list[str]:
    """Which of the modules a fresh interpreter has imported after the statement."""
    program = f"import sys; {statement}; print(*[name for name in {modules!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_every_name_is_there() -> None:
    for name in client.__all__:
        assert getattr(client, name) is not None
    assert client.__all__ == sorted(client.__all__)
    assert set(client._HOME_OF) <= set(client.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'conect'"):
        client.conect  # noqa: B018


@pytest.mark.slow
def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    assert imported("import gossipnode, gossipnode.client, gossipnode.cli.main", *HEAVY) == []
    assert "grpclib.client" not in imported("from gossipnode.client import connect", "grpclib.client")


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(client.__file__).parents[1] / "py.typed").is_file()
