"""`run --check-config` judges a file as `run` does: over wrong files, right ones, and odd ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Cli

NODE = b'[node]\nname = "a"\nlisten = "127.0.0.1:0"\n'
WRONG = [
    b"",
    NODE.decode().encode("utf-16"),
    NODE + b"# \xe4\n",
    NODE + b"x = \x1b[2J\n",
    NODE + b'name = "b"\n',
    NODE + b'"\\u001b[2J" = 1\n',
    NODE + b"[zzz]\n",
    NODE + b"[groups]\nsw = 1\n",
    NODE + b'[groups."a\\u001b[2J"]\n',
    NODE + b'[groups."a\\u202e"]\n',
    NODE + b'[groups.""]\n',
    NODE + b"[groups.sw]\nreplicas = true\n",
    NODE + b'[groups.sw]\nack = "most"\n',
    NODE + b'[groups.sw]\ntombstone_retention = "99999999d"\n',
    NODE + b'[groups.sw]\nindexes = ["a", "a"]\n',
    NODE + b'[repair]\nschedule = "0 0 2 * * *"\n',
    NODE + b'[repair]\nschedule = "@daily"\n',
    NODE + b"[repair]\nmax_sessions = " + b"9" * 5000 + b"\n",
    NODE + b"[repair]\nsession_deadline_seconds = 1e300\n",
    NODE + b'data_dir = "a\\u0000b"\n',
    NODE + b'advertise = "h:0"\n',
    NODE + b'[cluster]\nname = "a\\u009b"\n',
    NODE + b'[cluster]\ndiscovery = "dns"\n',
    NODE + b'[cluster]\npeers = { a = "h:1" }\n',
    NODE + b'[cluster]\npeers = { b = "h:1" }\njoin = ["h:1"]\n',
    NODE + b"[tls]\nrequire_client = true\n",
    NODE + b'[tls]\nca = "/nowhere"\n',
    b'[node]\nname = "a\\u001b"\nlisten = "h:1"\n',
    b'[node]\nname = "a"\nlisten = "0.0.0.0:7400"\n',
    b'[node]\nname = "a"\nlisten = "[0::0]:0"\n',
    b'[node]\nname = "a"\nlisten = ":7400"\n',
    NODE + b'advertise = "[::]:7400"\n',
    NODE + b'[cluster]\npeers = { b = "0.0.0.0:7401" }\n',
    NODE + b'[cluster]\njoin = ["0.0.0.0:7401"]\n',
    b'[node]\nname = "a"\nlisten = "h:65536"\n',
    b"[node]\nname = true\nlisten = 7400\n",
    b"\xef\xbb\xbf\xef\xbb\xbf" + NODE,
]
RIGHT = [
    NODE,
    b"\xef\xbb\xbf" + NODE.replace(b"\n", b"\r\n"),
    NODE + b"[groups.sw]\nshards = 1024\nreplicas = 3\n" + b'ack = "local"\n',
    NODE + '[groups."größe 漢字"]\nindexes = ["\\u001b[2J"]\n'.encode(),
    NODE + b'[repair]\nschedule = ""\n',
    NODE + b'[repair]\nschedule = "0 2 * JAN-MAR MON"\nleaf_json = "commas"\n',
    b'[node]\nname = "a"\nlisten = "0.0.0.0:0"\nadvertise = "h:7400"\nstatus_listen = "[::1]:7480"\n',
    NODE + b'status_listen = "127.0.0.1:1"\n[cluster]\nsecret = "x"\n',
    NODE + b"[cluster]\npeers = {}\njoin = []\n",
]


@pytest.mark.parametrize("content", WRONG)
def test_what_is_wrong_is_told_in_the_same_words(cli: Cli, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    told = [cli("run", "--config", str(path), *extra) for extra in ([], ["--check-config"])]
    assert [(ended.code, ended.out) for ended in told] == [(2, "")] * 2
    assert told[0].problem == told[1].problem
    assert told[0].problem.isprintable()


@pytest.mark.parametrize("content", RIGHT)
def test_what_is_right_goes_beyond_the_settings(cli: Cli, tmp_path: Path, content: bytes) -> None:
    """The data directory cannot be made, so that `run` ends, with the code of what the machine refuses."""
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    options = ["--config", str(path), "--data-dir", str(path)]
    ended = cli("run", *options)
    assert (ended.code, ended.out) == (1, "")
    assert str(path) in ended.err.splitlines()[-1]
    checked = cli("run", *options, "--check-config")
    assert checked.code == 0
    assert all(line.isprintable() for line in checked.out.split("\n"))


def test_foreign_members_are_shown_beside_our_own(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(NODE + b'[cluster]\npeers = { b = "h:1" }\nforeign = { p = "h:9" }\n')
    lines = cli("run", "--config", str(path), "--check-config").out.splitlines()
    assert any(line.startswith("members: a ") and line.endswith(", b h:1") for line in lines)
    assert "foreign members: p h:9" in lines
    as_json = cli("run", "--config", str(path), "--check-config", "-o", "json").out
    assert '"foreign": {"p": "h:9"}' in as_json
