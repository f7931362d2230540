"""How a table stands on lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gossipnode.cli.table_layout import PADDED_MAX_CELLS, folded, head_lines, lay_out, row_lines

ROUND = ("round", "shard", "origin", "outcome", "sent", "received", "skipped", "seconds")
PAST = ("7f3a9c1e", "sw/0", "node-a", "converged", "12000", "35000", "0", "0.123")


def drawn(headers: tuple[str, ...], rows: list[tuple[str, ...]], width: int | None) -> list[str]:
    layout = lay_out(headers, rows, width)
    return [*head_lines(layout), *(line for row in rows for line in row_lines(layout, row))]


def test_a_table_that_fits() -> None:
    rows = [("sw/0", "a=b c=d", "5"), ("sw/10", "x", "1234")]
    wanted = [
        "shard   tags      n",
        "──────────────────────",
        "sw/0    a=b c=d   5",
        "sw/10   x         1234",
    ]
    assert drawn(("shard", "tags", "n"), rows, None) == wanted
    assert drawn(("shard", "tags", "n"), rows, 22) == wanted


def test_cells_are_folded_on_a_narrow_terminal() -> None:
    past = (PAST[0] * 2, *PAST[1:])
    lines = drawn(ROUND, [past], 70)
    assert max(map(len, lines)) <= 70
    columns = lay_out(ROUND, [past], 70).widths
    assert max(columns) < len(past[0])
    for cell, width in zip(past, columns, strict=True):
        assert "".join(folded(cell, width)) == cell


def test_words_are_broken_only_where_nothing_else_fits() -> None:
    assert drawn(("what", "state"), [("sw/0 alpha", "building")], 16) == [
        "what    state", "────────────────", "sw/0    building", "alpha",
    ]  # fmt: skip
    # The names of columns are not broken at all.
    head, *_ = drawn(ROUND, [PAST], 60)
    assert head.split() == list(ROUND)


def test_a_terminal_too_narrow_for_columns_gets_a_line_a_cell() -> None:
    assert drawn(("key", "sha"), [("sw/n/1", "abc,defghi"), ("sw/n/2", "ij")], 12) == [
        "key: sw/n/1", "sha: abc,", "  defghi", "", "key: sw/n/2", "sha: ij", "",
    ]  # fmt: skip


SHARD = ("shard", "replicas", "records", "tombstones", "tree", "root", "converged")


def test_a_number_is_never_broken() -> None:
    row = ("storage/0", "a,b,c", "1,234,567", "12,345,678", "ready", "abcdef012345", "12 min ago")
    lines = drawn(SHARD, [row], 60)
    assert max(map(len, lines)) <= 60
    assert any("1,234,567" in line and "12,345,678" in line and "ready" in line for line in lines)


def test_a_row_that_would_be_a_tower_of_short_lines_is_a_block() -> None:
    replicas = "storage-node-0.example,storage-node-1.example,storage-node-2.example"
    row = ("a-group-of-a-long-name/0", replicas, "1,234,567", "7,654,321", "ready", "abcdef012345", "never")
    assert drawn(SHARD, [row], 60) == [
        "shard: a-group-of-a-long-name/0",
        "replicas: storage-node-0.example,storage-node-1.example,",
        "  storage-node-2.example",
        "records: 1,234,567",
        "tombstones: 7,654,321",
        "tree: ready",
        "root: abcdef012345",
        "converged: never",
        "",
    ]


def test_off_a_terminal_one_wide_cell_does_not_widen_the_other_rows() -> None:
    wide = "x" * 100_000
    lines = drawn(("key", "n"), [(wide, "1"), ("k", "2")], None)
    assert lines[2] == f"{wide}   1"
    assert lines[3] == "k" + " " * (PADDED_MAX_CELLS - 1) + "   2"


def test_a_cell_breaks_after_a_space_or_a_comma() -> None:
    assert folded("node-a,node-b,node-c", 14) == ["node-a,node-b,", "node-c"]
    assert folded("one two", 5) == ["one ", "two"]
    assert folded("日本語", 4) == ["日本", "語"]


def test_a_wide_letter_after_a_break_does_not_outgrow_the_column() -> None:
    assert folded(",aaaaa日", 6) == [",", "aaaaa", "日"]


@given(st.text(), st.integers(2, 30))
def test_no_part_of_a_cell_is_lost(cell: str, width: int) -> None:
    assert "".join(folded(cell, width)) == cell


@given(st.text(st.sampled_from("ab, 日本")), st.integers(2, 12))
def test_no_piece_of_a_cell_is_wider_than_its_column(cell: str, width: int) -> None:
    for piece in folded(cell, width):
        assert sum(2 if letter in "日本" else 1 for letter in piece) <= width


@given(
    st.lists(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])), min_size=1, max_size=8),
    st.integers(20, 120),
)
def test_columns_fit_the_terminal(cells: list[str], width: int) -> None:
    layout = lay_out(["h"] * len(cells), [cells], width)
    assert max(map(len, row_lines(layout, cells))) <= width
