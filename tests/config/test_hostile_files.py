"""Files of settings that nobody writes by intention: each is refused in one line that names what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossipnode.config.settings import SettingsError, load_settings
from tests.config.test_settings import NODE, write


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[repair]\nsession_deadline_seconds = 1e300\n", ["expected 3,153,600,000 seconds at most"]),
        (f"[repair]\nsession_deadline_seconds = {'9' * 400}\n", ["expected 3,153,600,000 seconds at most"]),
        (f"[node]\nname = {'9' * 5000}\n", ["a.toml, line 2: this number has too many digits"]),
        (f"x = {'[' * 5000}\n", ["a.toml, lists or tables are nested too deep"]),
        ('[node]\ndata_dir = "a\\u0000b"\n', ["'a\\x00b' is no path"]),
        ("[node]\nname = 2026-01-01\n", ["expected text, got a date"]),
        ("[node]\nlisten = true\n", ["[node] listen: expected text, got a truth value"]),
        ("[node]\nlisten = 7400\n", ["[node] listen: expected text, got a number"]),
        ('[groups."a\\u202e"]\n', ["group name 'a\\u202e' holds characters that cannot be printed"]),
        ('[cluster]\nname = "a\\u009b"\n', ["'a\\x9b' is no cluster name"]),
        ('[cluster]\npeers = { "b\\u001b" = "h:1" }\n', ["'b\\x1b' is no node name"]),
        ("[groups.sw]\nshards = 1.0\n", ["expected a whole number, got a number (1.0)"]),
        ("[groups.sw]\nshards = -1\n", ["expected 1 to 1024, got -1"]),
        ('[groups.sw]\ntombstone_retention = "-7d"\n', ['expected a time such as "7d"']),
        ('[groups.sw]\ntombstone_retention = "7.5d"\n', ['expected a time such as "7d"']),
        ('[repair]\nschedule = "@daily"\n', ["is no cron schedule"]),
        ('[repair]\nschedule = "0 0 31 2 *"\n', ["is no cron schedule"]),
        ('[repair]\nschedule = "0 2 * *"\n', ["is no cron schedule"]),
        ('[repair]\nschedule = "0 0 0 2 * * *"\n', ["is no cron schedule"]),
        ('[repair]\nschedule = "30-10 2 * * *"\n', ["is no cron schedule"]),
        ('[repair]\nschedule = "*/0 2 * * *"\n', ["is no cron schedule"]),
        ('[repair]\nschedule = "0 2 * FOO *"\n', ["is no cron schedule"]),
        ("[repair]\nschedule = false\n", ["expected text, got a truth value"]),
    ],
)
def test_wrong_files_are_named_with_their_key(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        load_settings(write(tmp_path, text))
    message = str(raised.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.parametrize("schedule", ["0 2 * JAN-MAR MON", "*/5 * * * *", "0 0 29 2 *", "0 0 L * *"])
def test_schedules(tmp_path: Path, schedule: str) -> None:
    path = write(tmp_path, f'{NODE}[repair]\nschedule = "{schedule}"\n')
    assert load_settings(path).repair.schedule == schedule


def test_files_that_are_not_utf_8(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(NODE.encode("utf-16"))
    with pytest.raises(SettingsError, match=r"a\.toml, line 1: not UTF-8 text: it is UTF-16"):
        load_settings(path)
