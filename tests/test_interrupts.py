"""Processes of a test run that ignores SIGINT, as the background job of a script does, can be interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
SET_UP = "from tests.conftest import let_children_be_interrupted; let_children_be_interrupted(); "
INTERRUPT_ONESELF = "import os, signal; os.kill(os.getpid(), signal.SIGINT); "
START_A_CHILD = (
    "import subprocess, sys; "
    "sys.exit(subprocess.run([sys.executable, '-c', 'import signal; signal.raise_signal(signal.SIGINT)'],"
    " stderr=subprocess.DEVNULL).returncode)"
)


def run_with_sigint_ignored(code: str) -> int:
    script = 'trap "" INT; exec "$@"'
    done = subprocess.run(["sh", "-c", script, "sh", sys.executable, "-c", code], cwd=REPOSITORY, check=False)
    return done.returncode


def test_a_child_can_be_interrupted() -> None:
    assert run_with_sigint_ignored(SET_UP + START_A_CHILD) == 256 - signal.SIGINT


def test_without_it_a_child_goes_on() -> None:
    assert run_with_sigint_ignored(START_A_CHILD) == 0


def test_the_test_run_itself_goes_on() -> None:
    assert run_with_sigint_ignored(SET_UP + INTERRUPT_ONESELF) == 0
