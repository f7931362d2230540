"""Peers, members to join through, and foreign members: which of them go together, and which wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipnode.config.address import Address
from gossipnode.config.settings import SettingsError, describe_settings, load_settings

NODE = '[node]\nname = "a"\nlisten = "127.0.0.1:7400"\n'
OPTIONS: dict[str, object] = {"node.name": "a", "node.listen": "127.0.0.1:7400"}


def given(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a.toml"
    path.write_text(NODE + text)
    return path


def test_an_option_to_join_wins_over_the_peers_of_the_file(tmp_path: Path) -> None:
    path = given(tmp_path, '[cluster]\npeers = { b = "h:1" }\n')
    settings = load_settings(path, {}, {"cluster.join": ["h:2"], "cluster.replace": True})
    assert settings.cluster.peers == {}
    assert settings.cluster.join == (Address("h", 2),)
    assert settings.cluster.replace
    assert not settings.cluster.accept_loss
    assert load_settings(path).cluster.peers == {"b": Address("h", 1)}


def test_an_option_to_join_wins_over_the_peers_of_the_environment() -> None:
    environ = {"GOSSIPNODE_CLUSTER_PEERS": "b=h:1"}
    settings = load_settings(None, environ, {**OPTIONS, "cluster.join": ["h:2"]})
    assert (settings.cluster.peers, settings.cluster.join) == ({}, (Address("h", 2),))


def test_both_as_options_are_still_a_contradiction() -> None:
    for overrides in (
        {"cluster.join": ["h:2"], "cluster.peers": ["b=h:1"]},
        {"cluster.peers": ["b=h:1"], "cluster.join": ["h:2"]},
    ):
        with pytest.raises(SettingsError, match="peers and join are both set"):
            load_settings(None, {}, {**OPTIONS, **overrides})


@pytest.mark.parametrize("flag", ["cluster.replace", "cluster.as_new", "cluster.accept_loss"])
def test_to_replace_is_for_a_node_that_joins(flag: str) -> None:
    with pytest.raises(SettingsError, match="give --join as well"):
        load_settings(None, {}, {**OPTIONS, flag: True, "cluster.peers": ["b=h:1"]})


def test_to_replace_stands_in_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"in \[cluster\], unknown key 'replace'"):
        load_settings(given(tmp_path, '[cluster]\njoin = ["h:2"]\nreplace = true\n'))


def test_to_come_as_new_needs_somebody_else_to_join() -> None:
    given_alone = {**OPTIONS, "cluster.as_new": True, "cluster.join": [OPTIONS["node.listen"]]}
    with pytest.raises(SettingsError, match="names this node alone"):
        load_settings(None, {}, given_alone)
    settings = load_settings(None, {}, {**given_alone, "cluster.join": ["h:2"]})
    assert settings.cluster.as_new


def test_foreign_members_are_no_peers(tmp_path: Path) -> None:
    path = given(tmp_path, '[cluster]\npeers = { b = "h:1" }\nforeign = { p = "h:9" }\n')
    settings = load_settings(path)
    assert settings.cluster.foreign == {"p": Address("h", 9)}
    assert list(settings.members) == ["a", "b"]
    assert describe_settings(settings)["cluster"]["foreign"] == {"p": "h:9"}
    settings = load_settings(path, {"GOSSIPNODE_CLUSTER_FOREIGN": "q=h:8"})
    assert settings.cluster.foreign == {"q": Address("h", 8)}
    settings = load_settings(path, {}, {"cluster.foreign": ["r=h:7", "s=h:6"]})
    assert list(settings.cluster.foreign) == ["r", "s"]


@pytest.mark.parametrize(
    ("foreign", "problem"),
    [
        (["b=h:9"], "'b' is a foreign member and one of our own: name it once"),
        (["a=h:9"], "'a' is a foreign member and one of our own: name it once"),
        (["p"], "--foreign-peer: 'p' is no peer"),
        (["p=h"], "--foreign-peer: peer 'p': 'h' has no port"),
        (["p=h:1", "p=h:2"], "--foreign-peer: peer 'p' is given twice"),
    ],
)
def test_a_foreign_member_has_a_name_of_its_own(foreign: list[str], problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {}, {**OPTIONS, "cluster.peers": ["b=h:1"], "cluster.foreign": foreign})
    assert problem in str(caught.value)
