"""Prometheus' own check of the rules for alerts, and what they do with figures that are given to them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

PROMTOOL = shutil.which("promtool")
ALERTS = Path(__file__).parents[3] / "docs" / "monitoring" / "alerts.yml"
CASES = Path(__file__).with_name("alerts_test.yml")
FAULTS = Path(__file__).with_name("alerts_of_faults_test.yml")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool, which comes with Prometheus"),
]


@pytest.mark.parametrize(("checked", "file"), [("check", ALERTS), ("test", CASES), ("test", FAULTS)])
def test_the_rules_are_right_for_prometheus(checked: str, file: Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, checked, "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
