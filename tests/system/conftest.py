"""Nodes for one test, or for all tests of a module; whatever still runs at the end is ended by its pid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.support import Nodes


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    made = Nodes(tmp_path)
    yield made
    made.end_all()


@pytest.fixture(scope="module")
def module_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """Nodes that live as long as a module's tests. They must stop in order, with no defect in their logs."""
    made = Nodes(tmp_path_factory.mktemp("nodes"))
    try:
        yield made
        for node in made.nodes.values():
            if node.running:
                assert node.stop() == 0
            node.assert_no_defect()
    finally:
        made.end_all()
