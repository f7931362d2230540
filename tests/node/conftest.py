"""What the tests of a node alone are given."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from gossipnode.core.cluster.placement import AckLevel
from tests.node.support import Alone, Start, make_local, serve


@pytest.fixture(params=["local", "quorum"])
def start(request: pytest.FixtureRequest, nursery: trio.Nursery) -> Start:
    """A node that serves clients alone: because its group says so, or as the only replica that there is."""
    only: dict[str, Any] = {"members": ("a",), "replicas": 1, "ack": AckLevel.QUORUM}

    async def serve_alone(*args: Any, **options: Any) -> Alone:
        options |= only if request.param == "quorum" else {}
        return await serve(nursery, make_local(*args, **options))

    return serve_alone
