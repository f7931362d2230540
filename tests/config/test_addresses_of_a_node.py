"""Where a node listens, and the address that it tells others: one that somebody can dial."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipnode.config.address import Address, parse_address
from gossipnode.config.settings import SettingsError, load_settings

NAMED = {"node.name": "a"}
EVERYWHERE = [
    "0.0.0.0:7400",
    "0.0.0.0:0",
    "0x0:7400",
    "0X00.0x0.0.0:7400",
    "[::]:7400",
    "[0::0]:7400",
    "[::0.0.0.0]:7400",
    "[0:0:0:0:0:0:0:0]:7400",
    "[::%1]:7400",
    "[::ffff:0.0.0.0]:7400",
    "[::ffff:0:0%1]:7400",
]
"""Spellings of the addresses that stand for all addresses of a machine."""
ONE = [
    "127.0.0.1:7400",
    "h:7400",
    "0x7f.1:7400",
    "0xa:7400",
    "x0:7400",
    "[::1]:7400",
    "[::ffff:127.0.0.1]:7400",
]


@pytest.mark.parametrize("listen", EVERYWHERE)
def test_a_node_that_listens_everywhere_has_to_say_where_others_reach_it(listen: str) -> None:
    with pytest.raises(SettingsError, match=r"\[node\] listen: .* set advertise to .* --advertise") as raised:
        load_settings(overrides=NAMED | {"node.listen": listen})
    assert str(parse_address(listen, allow_port_zero=True)) in str(raised.value)
    settings = load_settings(overrides=NAMED | {"node.listen": listen, "node.advertise": "h:7400"})
    assert settings.node.advertise == Address("h", 7400)


@pytest.mark.parametrize("text", [text for text in EVERYWHERE if not text.endswith(":0")])
@pytest.mark.parametrize(
    ("key", "start"),
    [
        ("node.advertise", "--advertise: "),
        ("cluster.peers", "--peer: peer 'b': "),
        ("cluster.join", "--join: "),
    ],
)
def test_nobody_can_dial_such_an_address(key: str, start: str, text: str) -> None:
    value = {"node.advertise": text, "cluster.peers": [f"b={text}"], "cluster.join": [text]}[key]
    with pytest.raises(SettingsError) as raised:
        load_settings(overrides=NAMED | {"node.listen": "h:7400", key: value})
    assert str(raised.value).startswith(f"{start}nobody can dial '{text}'")


@pytest.mark.parametrize("text", ONE)
def test_other_addresses_may_be_listened_at_and_dialed(text: str) -> None:
    settings = load_settings(overrides=NAMED | {"node.listen": text})
    assert settings.node.advertise == parse_address(text)
    dialed = {"node.listen": "127.0.0.1:1", "node.advertise": text, "cluster.join": ["h:7", "g:7"]}
    assert load_settings(overrides=NAMED | dialed).node.advertise == parse_address(text)


@pytest.mark.parametrize("text", ["127.0.0.1:7480", "127.9.8.7:0", "[::1]:7480", "localhost:7480"])
def test_status_may_be_served_to_the_own_machine(text: str) -> None:
    settings = load_settings(overrides=NAMED | {"node.listen": "h:7400", "node.status_listen": text})
    assert settings.node.status_listen == parse_address(text, allow_port_zero=True)


@pytest.mark.parametrize("text", ["0.0.0.0:7480", "[::]:7480", "10.0.0.1:7480", "a.example:7480"])
def test_status_is_not_served_to_others(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(overrides=NAMED | {"node.listen": "h:7400", "node.status_listen": text})
    assert str(raised.value) == (
        f"[node] status_listen: {text} is reached from other machines, and what is shown there is not "
        "protected: use an address of loopback, such as 127.0.0.1:7480, or set [tls]"
    )


@pytest.mark.parametrize("text", ["0.0.0.0:7480", "a.example:7480", "127.0.0.1:7480"])
def test_status_may_be_served_to_those_with_certificates(text: str, tmp_path: Path) -> None:
    file = tmp_path / "some.pem"
    file.touch()
    tls = {"tls.ca": str(file), "tls.cert": str(file), "tls.key": str(file)}
    settings = load_settings(overrides=NAMED | tls | {"node.listen": "h:7400", "node.status_listen": text})
    assert settings.node.status_listen == parse_address(text)


def test_an_address_without_a_host_is_none() -> None:
    with pytest.raises(SettingsError, match="--listen: ':7400' has no host: expected HOST:PORT"):
        load_settings(overrides=NAMED | {"node.listen": ":7400"})
