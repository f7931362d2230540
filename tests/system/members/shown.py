"""What real nodes show of their cluster."""

from __future__ import annotations

import json
from typing import Any

from tests.system.processes import Node, command


def status(node: Node) -> dict[str, Any]:
    """What `status` says, as JSON."""
    ended = command("status", "--at", node.address, "-o", "json")
    assert ended.code == 0, ended
    shown: dict[str, Any] = json.loads(ended.out)
    return shown


def nothing_moves(node: Node) -> bool:
    """Whether every shard that a node holds lies where it belongs."""
    return all(shard["moving"] is None for shard in status(node)["shards"])
