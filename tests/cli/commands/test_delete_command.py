"""`delete`: what it prints. What it leaves is tested in `test_apply_command`."""

from __future__ import annotations

import json

from tests.cli.answers import COMMANDS
from tests.cli.conftest import Cli, Peer


def test_who_acknowledged_is_told_as_json(ask_peer: Cli, peer: Peer) -> None:
    peer.answers = {method: answer for _, method, answer in COMMANDS}
    deleted = json.loads(ask_peer("delete", "sw/n/i", "-o", "json").out)
    assert deleted == {
        "group": "sw", "name": "n", "id": "i", "deleted": True, "mod_revision": 9,
        "acknowledged": 2, "replicas": 3,
    }  # fmt: skip
