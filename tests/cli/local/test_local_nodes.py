"""The settings that nodes on this machine are started with."""

from __future__ import annotations

import tomllib
from pathlib import Path

from gossipnode.cli.local.demo_story import GROUP
from gossipnode.cli.local.local_nodes import LocalNodes
from gossipnode.config.address import Address
from gossipnode.config.settings import load_settings


def test_the_settings_that_a_local_node_gets(tmp_path: Path) -> None:
    cluster = LocalNodes(tmp_path / 'od"d \\ dir \U0001f600\x1b\x7f\x9b', [f"{GROUP}:2:3", "with:colon:1:3"])
    for number, name in enumerate("abc"):
        cluster.add(name, Address("127.0.0.1", 7400 + number))
    cluster.foreign["p"] = Address("127.0.0.1", 7409)
    text = cluster._settings(cluster["b"])
    assert tomllib.loads(text)
    path = tmp_path / "b.toml"
    path.write_text(text)
    settings = load_settings(path)
    assert settings.node.name == "b"
    assert settings.node.data_dir == cluster["b"].data_dir.absolute()
    assert list(settings.members) == ["a", "b", "c"]
    assert settings.cluster.foreign == {"p": Address("127.0.0.1", 7409)}
    assert settings.groups[GROUP].shards == 2
    assert settings.groups["with:colon"].replicas == 3
