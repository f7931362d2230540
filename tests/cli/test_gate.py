"""One gate: nothing leaves the product for a standard stream past it, on a terminal or off it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Group
from rich.table import Table
from rich.text import Text

from gossipnode.cli.drawing import GatedConsole
from gossipnode.cli.output import print_json, print_table, print_text, say, say_json
from gossipnode.rpc import RpcError, Status
from gossipnode.wire import services
from gossipnode.wire.generated.bp.gossipnode import v1 as messages
from tests.cli.conftest import Cli, Peer
from tests.cli.test_terminal import ASKING, NASTY, nasty_peer

PRODUCT = Path(__file__).parents[2] / "gossipnode"
GATES = {
    "cli/standard_streams.py": "results and messages",
    "cli/drawing.py": "live tables and progress bars",
    "observe/logs.py": "log lines",
    "observe/patient_writer.py": "takes what has passed already",
    "rpc/byte_stream.py": "writes to sockets, which never have the descriptor of a standard stream",
}
STREAMS = ("stdin", "stdout", "stderr", "__stdout__", "__stderr__")
WAYS_OUT = ("print", "input", "breakpoint")
MEMBERS_OUT = (
    "echo",
    "secho",
    "prompt",
    "confirm",
    "pause",
    "warn",
    "print_exc",
    "print_exception",
    "basicConfig",
)
"""Of these modules."""


def ways_past_the_gate(source: str) -> list[int]:
    """The lines of a module that write to a standard stream themselves."""
    tree = ast.parse(source)
    asked_whether_terminal = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "isatty"
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if id(node) not in asked_whether_terminal and _writes(node)  # type: ignore[arg-type]
    ]


def _writes(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name in WAYS_OUT
        case ast.Attribute(value=ast.Name(id="sys"), attr=attr):
            return attr in STREAMS and attr != "stdin"
        case ast.Attribute(value=ast.Name(id="os"), attr="write"):
            return True
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="click" | "warnings" | "traceback" | "logging"), attr=attr)
        ):
            return attr in MEMBERS_OUT
        case ast.ImportFrom(module=module):
            names = [alias.name for alias in node.names]
            is_rich = (module or "").split(".")[0] == "rich" and module != "rich.cells"
            return is_rich or (module == "sys" and bool({*STREAMS} & {*names}))
        case ast.Import(names=names):
            return any(alias.name.split(".")[0] in ("rich", "curses", "readline") for alias in names)
        case ast.Constant(value="/dev/tty" | "/dev/stdout" | "/dev/stderr"):
            return True
        case _:
            return False


def modules() -> Iterator[tuple[str, str]]:
    for path in sorted(PRODUCT.rglob("*.py")):
        name = path.relative_to(PRODUCT).as_posix()
        if not name.startswith("wire/generated/"):
            yield name, path.read_text()


@pytest.mark.slow
def test_nothing_is_written_past_the_gate() -> None:
    past = {name: lines for name, source in modules() if (lines := ways_past_the_gate(source))}
    assert past.keys() == GATES.keys(), past


@pytest.mark.parametrize(
    "source",
    [
        "print('x')",
        "sys.stdout.write('x')",
        "sys.stderr.buffer.write(b'x')",
        "print_to(sys.stdout)",
        "os.write(2, b'x')",
        "click.echo('x')",
        "warnings.warn('x')",
        "from sys import stderr",
        "def f():\n    from rich.console import Console",
        "open('/dev/tty', 'w')",
    ],
)
def test_each_way_past_the_gate_is_noticed(source: str) -> None:
    assert ways_past_the_gate(source)
    assert not ways_past_the_gate("sys.stdout.isatty()")


@pytest.mark.parametrize("arguments", ASKING, ids=" ".join)
@pytest.mark.parametrize("output", ["table", "json"])
def test_no_control_character_reaches_a_pipe(cli: Cli, peer: Peer, arguments: list[str], output: str) -> None:
    """It may end at a terminal all the same, as a pager or a log does."""
    nasty_peer(peer)
    ended = cli(*arguments, "-o", output, "--at", peer.address)
    said = ended.out + ended.err
    assert "[2J" in said
    assert all(line.isprintable() for line in said.split("\n"))


def test_json_keeps_its_value_behind_the_gate(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    value = {NASTY: [NASTY, "\u6f22\U0001f468\u200d\U0001f469", "\x7f\x85\u2028"]}
    print_json(value)
    say_json(value)
    said = capsysbinary.readouterr()
    for line in (said.out, said.err):
        assert line.decode().rstrip("\n").isprintable()
        assert json.loads(line) == value


def test_lines_tables_and_messages(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_text(f"{NASTY}\nsecond\n")
    print_table((NASTY,), [[NASTY], ["\udcff\ud800"]])
    say(NASTY + "x" * 100_000)
    said = capsysbinary.readouterr()
    assert all(line.isprintable() for line in (said.out + said.err).decode().split("\n"))
    assert "more characters)" in said.err.decode()
    assert "\\udcff\\ud800" in said.out.decode()
    assert len(said.err) < 10_000


def test_what_rich_draws_passes_the_gate() -> None:
    drawn = StringIO()
    console = GatedConsole(file=drawn, width=60, force_terminal=True, color_system=None)
    table = Table(title=NASTY)
    table.add_column(NASTY)
    table.add_row(Text(NASTY))
    console.print(Group(table, Text(NASTY)))
    assert all(line.isprintable() for line in drawn.getvalue().split("\n"))
    assert "[2J" in drawn.getvalue()
    console.print(Text("red", "red"), end="")
    assert drawn.getvalue().endswith("red")


def test_an_argument_that_click_repeats(cli: Cli) -> None:
    for arguments in ([NASTY], ["get", f"--{NASTY}"], ["query", "sw", "--limit", NASTY], ["status", NASTY]):
        ended = cli(*arguments)
        assert ended.code == 2
        assert ended.problem.isprintable()
        assert "[2J" in ended.problem


def test_a_file_is_named_in_a_progress_and_in_an_error(
    cli: Cli, peer: Peer, tmp_path: Path, one_line_on_standard_input: None
) -> None:
    peer.answers[services.NODE_IMPORT] = RpcError(Status.UNKNOWN, NASTY)
    for arguments in (["import", "sw", f"/nowhere/{NASTY}"], ["import", "sw", "-", "--at", peer.address]):
        ended = cli(*arguments)
        assert ended.problem.isprintable()
        assert "[2J" in ended.problem
    peer.answers[services.NODE_STATUS] = messages.StatusResponse(version=NASTY)
    assert all(line.isprintable() for line in cli("status", "--at", peer.address).out.split("\n"))
