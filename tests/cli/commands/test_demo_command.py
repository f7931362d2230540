"""`demo`: it proves its end, and can leave its nodes running."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Cli, run_process, wait_gone


@pytest.mark.slow
def test_the_demo_proves_its_end_and_can_leave_its_nodes_running(cli: Cli) -> None:
    ended = run_process("demo", "--keep", "-o", "json")
    assert ended.code == 0, ended.err
    described = Path(ended.err.split("described in ")[1].splitlines()[0].rstrip("."))
    nodes = json.loads(described.read_text())["nodes"]
    try:
        result = json.loads(ended.out)
        assert result["equal"] is True
        assert result["nodes"][0]["records"] > 20_000
        assert result["round"]["outcome"] == "repaired"
        assert "Node c is killed" in ended.err
        for node, told in zip(nodes, result["nodes"], strict=True):
            tree = json.loads(
                cli("tree", "unicode", "--shard", "0", "-o", "json", "--at", node["address"]).out
            )
            assert tree["root"] == told["root"] == result["nodes"][0]["root"]
            assert told["records"] == result["nodes"][0]["records"]
    finally:
        for node in nodes:
            os.kill(node["pid"], signal.SIGTERM)
    wait_gone([node["pid"] for node in nodes])
    shutil.rmtree(described.parent)
