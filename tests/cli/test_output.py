"""What is printed for people: plain off a terminal, in words and numbers."""

from __future__ import annotations

import pytest

from gossipnode.cli.output import counted, printable, shown_bytes
from tests.cli.conftest import Cli


@pytest.mark.slow
def test_tables_are_plain_off_a_terminal(ask: Cli) -> None:
    assert ask("apply", "sw/plain/[red]1", "a=\x1b[31mred").code == 0
    for ended in (ask("get", "sw/plain/[red]1"), ask("query", "sw", "--name", "plain")):
        assert ended.code == 0
        assert "\x1b" not in ended.out
        assert "sw/plain/[red]1" in ended.out
    for command in (["status"], ["members"], ["tree", "sw", "--shard", "0", "--leaves"], ["repair", "sw"]):
        assert ask(*command).code == 0


def test_words_and_numbers() -> None:
    assert counted(1, "record") == "1 record"
    assert counted(20_000, "record") == "20,000 records"
    assert shown_bytes(403) == "403 B"
    assert shown_bytes(7_903_000) == "7,903 kB"
    assert shown_bytes(12_345_678) == "12.3 MB"
    assert printable("a\x1b[1mß\n") == "a\\x1b[1mß\\n"
