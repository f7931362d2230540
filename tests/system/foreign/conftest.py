"""One node for all tests that open sessions with it, and a group of its own for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.nodes import nodes_without_defect
from tests.system.processes import Node
from tests.system.stock_client import Stock

GROUPS = [f"g{number}" for number in range(60)]
_unused = iter(GROUPS)


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that sends pages of seven leaves. The group "two" has two shards, every other group has one."""
    groups = [*(f"{group}:1:3" for group in GROUPS), "two:2:3"]
    with nodes_without_defect(tmp_path_factory.mktemp("sessions")) as made:
        (started,) = made.start("a", groups=groups, settings={"repair": {"page_leaves": 7}})
        yield started


@pytest.fixture
def stock(node: Node) -> Iterator[Stock]:
    with Stock(node.address) as stock:
        yield stock


@pytest.fixture
def group() -> str:
    """A group that no other test has used."""
    return next(_unused)
