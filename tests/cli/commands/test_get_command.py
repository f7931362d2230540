"""`get`: the keys that it takes. What it shows is tested in `test_apply_command`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["get", "sw"], ["'sw' is no key", "GROUP/NAME/ID"]),
        (["get", "sw//1"], ["'sw//1' is no key: name is empty"]),
        (["get", "g" * 256 + "/n/i"], ["longer than 255 bytes"]),
        (["get", "g/n/" + "i" * 4097], ["longer than 4096 bytes"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)
