"""The command `gossipnode`: finds the command's module, runs it, and turns every end into an exit code.

A command's module is imported only when it is called, so that `--help` needs nothing but click.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from gossipnode import __version__
from gossipnode.cli.command_classes import CommandGroup, end_with
from gossipnode.cli.failure import DONE, FAILED, INTERRUPTED, Failure, failure_of
from gossipnode.cli.output import say
from gossipnode.cli.standard_streams import drop_stdout, end_stderr, flush_results, hold_streams
from gossipnode.client.errors import ClientError, sole_error

_COMMANDS = {
    "run": "Run one node.",
    "cluster": "Run several nodes on this machine, and watch them.",
    "demo": "See a ring of three nodes repair itself, on real data.",
    "apply": "Write tags of a record.",
    "get": "Show a record.",
    "delete": "Delete a record.",
    "query": "Find records.",
    "watch": "Show the records of a group, then every change.",
    "wait": "Wait until every replica has a record.",
    "explain": "Show why a record is what it is.",
    "import": "Write many records from a file.",
    "export": "Print all records of a group, one line of JSON each.",
    "group": "Create, alter, list, show and delete groups.",
    "repair": "Start a round of repair.",
    "diff": "Show which records differ between two nodes.",
    "tree": "Show a node's own tree of a shard.",
    "status": "Show a node's view of itself, its shards and the last rounds.",
    "members": "Show the members of the cluster.",
    "member": "Forget a member of the cluster.",
    "certs": "Make a CA, and certificates for nodes and clients.",
    "verify": "Check a data directory offline.",
    "snapshot": "Take a consistent copy of a node's store while it runs.",
    "restore": "Bring a snapshot back into an empty data directory.",
    "recover": "Go on with one survivor when a majority of the members is gone.",
    "sim": "Simulate clusters under faults, and check what they promise.",
    "help": "Show the help of a command.",
}


class _LazyCommands(CommandGroup):
    """Knows its commands by name; each lives in a module of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order in which a user needs them."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        if cmd_name not in _COMMANDS:
            return None
        module = import_module(f"gossipnode.cli.commands.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Errors that click would end in its own way are handled here first."""
        try:
            return super().invoke(ctx)
        except (KeyboardInterrupt, BrokenPipeError, BaseExceptionGroup) as caught:
            match sole_error(caught):
                case KeyboardInterrupt():
                    raise Failure("interrupted", INTERRUPTED) from None
                case BrokenPipeError():
                    # The reader of our output has seen enough, as with `| head`.
                    drop_stdout()
                    raise Failure("", DONE) from None
                case error:
                    raise error from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _show_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        end_with(ctx, f"gossipnode {__version__}")


@click.group(
    cls=_LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Show the version and exit.",
)  # fmt: skip
def gossipnode() -> None:
    """Keeps small metadata records identical on a set of nodes, with no coordinator.

    Every option may stand after the command. Results go to stdout, messages to stderr.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process."""
    hold_streams()
    code = run(arguments)
    try:
        flush_results()
    except OSError as error:
        drop_stdout()
        # What the command itself met says more than that its output could not be printed either.
        if code == DONE and not isinstance(error, BrokenPipeError):
            code = _ended(error)
    end_stderr()
    if code == INTERRUPTED:
        # A thread may still be reading standard input. The interpreter would wait for it, or complain.
        os._exit(code)
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Says why on stderr, in one line, when it is not 0."""
    try:
        result = gossipnode.main(
            list(sys.argv[1:] if arguments is None else arguments),
            prog_name="gossipnode",
            standalone_mode=False,
        )
    except BaseException as caught:  # noqa: BLE001 - nothing may reach the user as a traceback
        return _ended(sole_error(caught))
    # Without standalone mode click returns the code of an Exit, as after --help.
    return result if isinstance(result, int) else DONE


def _ended(error: BaseException) -> int:
    match error:
        case click.exceptions.NoArgsIsHelpError():
            for line in error.format_message().splitlines():
                say(line)
            return error.exit_code
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "gossipnode"
            return _say(f"{error.format_message()} (see {command} --help)", error.exit_code)
        case click.ClickException():
            return _say(error.format_message(), error.exit_code)
        case Failure():
            return _say(str(error), error.exit_code)
        case ClientError():
            failure = failure_of(error)
            return _say(str(failure), failure.exit_code)
        case KeyboardInterrupt() | click.Abort():
            return _say("interrupted", INTERRUPTED)
        case SystemExit():
            return error.code if isinstance(error.code, int) else FAILED
        case OSError():
            what = f"{error.filename}: " if error.filename else ""
            return _say(f"{what}{error.strerror or error}", FAILED)
        case _:
            return _defect(error)


def _defect(error: BaseException) -> int:
    if os.environ.get("GOSSIPNODE_DEBUG"):
        for line in "".join(traceback.format_exception(error)).splitlines():
            say(line)
    name = type(error).__name__
    return _say(f"a defect of gossipnode: {name}: {error} (GOSSIPNODE_DEBUG=1 shows where)", FAILED)


def _say(message: str, code: int) -> int:
    if message:
        say(f"gossipnode: {' '.join(message.splitlines())}")
    return code
