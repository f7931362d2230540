"""docs/tls.md: its commands do what the page says, in the order in which they stand there."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ports import Ports
from tests.system.processes import ENVIRONMENT

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[3] / "docs" / "tls.md").read_text()
SCRIPT_SECONDS = 150.0
READY = "until [ $(grep -c '^ready ' nodes.out) = 3 ]; do sleep 0.1; done"
READ_AGAIN = "until [ $(grep -c 'certificates read again' nodes.log) = {} ]; do sleep 0.1; done"
NOT_FOR_WRITERS = "! gossipnode group create other --shards 1 --replicas 3"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def script() -> str:
    """All commands of the page. Where a reader would look before going on, there is a wait."""
    lines = ["set -eux", "trap 'kill $(jobs -p); wait' EXIT", ": > nodes.out; : > nodes.log"]
    read_again = 0
    for block in blocks("sh"):
        for line in block.splitlines():
            if line.endswith(" &"):
                line = f"{line.removesuffix(' &')} >> nodes.out 2>> nodes.log &"
            lines.append(line)
            if line.startswith("kill -HUP"):
                read_again += line.count("%")
                lines.append(READ_AGAIN.format(read_again))
        if " &\n" in block:
            lines.append(READY)
    return "\n".join([*lines, NOT_FOR_WRITERS, ""])


def test_the_commands_of_the_page(tmp_path: Path) -> None:
    ports = Ports()
    text, (settings, _) = script(), blocks("toml")
    for known, free in zip(("7401", "7402", "7403"), ports.take(3), strict=True):
        assert known in settings
        text, settings = text.replace(known, str(free)), settings.replace(known, str(free))
    (tmp_path / "cluster.toml").write_text(settings)
    command = tmp_path / "bin" / "gossipnode"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gossipnode "$@"\n')
    command.chmod(0o755)
    running = subprocess.Popen(
        ["bash", "-c", text],
        cwd=tmp_path,
        env={**ENVIRONMENT, "PATH": f"{command.parent}:{ENVIRONMENT['PATH']}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, err = running.communicate(timeout=SCRIPT_SECONDS)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
            running.communicate()
        ports.give_back()
    said, log = err.decode(), (tmp_path / "nodes.log").read_text()
    assert running.returncode == 0, said + log
    assert out.decode().count("8080") == 4
    assert "which is a writer here; this takes an admin" in said
    assert "not read again" not in log
    assert "Traceback" not in log
