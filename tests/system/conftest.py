"""Nodes for one test, or for all tests of a module. A node that still runs at the end is ended by its pid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.nodes import Nodes, nodes_without_defect


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    made.end_all()


@pytest.fixture(scope="module")
def module_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Nodes that live as long as the tests of a module."""
    with nodes_without_defect(tmp_path_factory.mktemp("nodes")) as made:
        yield made
