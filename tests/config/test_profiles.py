"""Profiles of the command line, as a file of the user's holds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipnode.config.address import parse_address
from gossipnode.config.keys import SettingsError
from gossipnode.config.profiles import profiles_path, read_profile

PROFILES = """
[prod]
at = "db1.example:7400"
ca = "pki/ca.pem"
cert = "/etc/pki/app.pem"
key = "/etc/pki/app.key"
server_name = "a"

[dev]
at = "127.0.0.1:7401"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "profiles.toml"
    found.write_text(PROFILES)
    return found


def test_a_profile_and_where_its_files_are(path: Path) -> None:
    assert read_profile(path, "prod") == {
        "at": parse_address("db1.example:7400"),
        "ca": path.parent / "pki/ca.pem",
        "cert": Path("/etc/pki/app.pem"),
        "key": Path("/etc/pki/app.key"),
        "server_name": "a",
    }
    assert read_profile(path, "dev") == {"at": parse_address("127.0.0.1:7401")}


@pytest.mark.parametrize(
    ("document", "name", "problem"),
    [
        (PROFILES, "prd", "no profile is called 'prd': did you mean 'prod'?"),
        (PROFILES, "x", "no profile is called 'x': {path} has dev, prod"),
        ("", "x", "no profile is called 'x': {path} is empty"),
        ('[p]\nta = "h:1"', "p", "{path}: [p] has no key 'ta': known are at, ca, cert, key, server_name"),
        ('[p]\nat = "h"', "p", "{path}: [p] at: 'h' has no port: expected HOST:PORT or [IPV6]:PORT"),
        ("[p]\nca = 5", "p", "{path}: [p] ca: expected text, got a number (5)"),
        ("p = 5", "p", "{path}: p: expected a table, [p]"),
        ("[p", "p", "{path}: line 1: expected ']' at the end of a table declaration"),
    ],
)
def test_what_is_wrong_is_named(path: Path, document: str, name: str, problem: str) -> None:
    path.write_text(document)
    with pytest.raises(SettingsError) as caught:
        read_profile(path, name)
    assert str(caught.value).startswith(problem.format(path=path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there are no profiles: .*/none\.toml does not exist"):
        read_profile(tmp_path / "none.toml", "p")
    with pytest.raises(SettingsError, match="Is a directory"):
        read_profile(tmp_path, "p")
    (tmp_path / "latin").write_bytes(b'[p]\nserver_name = "\xe4"')
    with pytest.raises(SettingsError, match="no text in UTF-8"):
        read_profile(tmp_path / "latin", "p")


def test_where_profiles_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert profiles_path({}) == tmp_path / ".config/gossipnode/profiles.toml"
    assert profiles_path({"XDG_CONFIG_HOME": "relative"}) == tmp_path / ".config/gossipnode/profiles.toml"
    assert profiles_path({"XDG_CONFIG_HOME": "/x"}) == Path("/x/gossipnode/profiles.toml")
