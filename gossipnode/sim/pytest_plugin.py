"""Fixtures for the tests of an application that uses `gossipnode.client`: whole clusters, and faults in them.

    pytest_plugins = ["gossipnode.sim.pytest_plugin"]    # in the topmost conftest.py

`virtual_cluster` is for tests under Trio, `loopback_cluster` for all others. Each test has a cluster of its
own, of three nodes unless it is marked otherwise:

    @pytest.mark.gossipnode(nodes=5, groups=["services:4:3"])

Only pytest imports this module: gossipnode itself does not depend on pytest.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
import structlog

from gossipnode.sim import testing

MARKER = "gossipnode"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and keep what nodes log out of the standard output of tests."""
    config.addinivalue_line(
        "markers",
        f"{MARKER}(nodes=3, groups=()): how many nodes the test's cluster has, and its NAME:SHARDS:REPLICAS",
    )
    if not structlog.is_configured():
        structlog.configure(logger_factory=logger_of)


def pytest_unconfigure() -> None:
    """Leave structlog as it was."""
    if structlog.get_config()["logger_factory"] is logger_of:
        structlog.reset_defaults()


def logger_of(*names: Any) -> Any:
    """What nodes log goes to `logging`, and pytest shows it with a failed test. The rest goes as before."""
    if names and str(names[0]).partition(".")[0] == "gossipnode":
        return logging.getLogger(names[0])
    return structlog.PrintLogger()


@pytest.fixture
async def virtual_cluster(request: pytest.FixtureRequest) -> AsyncGenerator[testing.VirtualCluster]:
    """A cluster in virtual time, in the Trio loop of the test, which must ask for `autojump_clock`, too."""
    async with testing.virtual_cluster(**asked_of(request)) as cluster:
        yield cluster


@pytest.fixture
def loopback_cluster(request: pytest.FixtureRequest) -> Generator[testing.LoopbackCluster]:
    """A cluster in real time, in a thread of its own, which is reached at ports of 127.0.0.1."""
    with testing.loopback_cluster(**asked_of(request)) as cluster:
        yield cluster


def asked_of(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The arguments of the marker that is closest to the test."""
    marker = request.node.get_closest_marker(MARKER)
    if marker is None:
        return {}
    if marker.args or not {"nodes", "groups"}.issuperset(marker.kwargs):
        raise pytest.UsageError(f"write @pytest.mark.{MARKER}(nodes=3, groups=[...]), with these names alone")
    return dict(marker.kwargs)
