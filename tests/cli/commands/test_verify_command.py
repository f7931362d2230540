"""`verify`: the data directory that it wants. What it finds is tested in `test_run_command`."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Cli, refused


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verify"], ["--data-dir"]),
        (["verify", "--data-dir", "/nowhere/d"], ["/nowhere/d: no such directory"]),
    ],
)
def test_wrong_arguments(cli: Cli, arguments: list[str], words: list[str]) -> None:
    refused(cli, arguments, words)
