"""`recover`: the way out when a majority of the members is gone for good, offline at one that survived."""

from __future__ import annotations

import random
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import Command, PathType
from gossipnode.cli.commands.start_lines import join_lines, named_shards, start_line
from gossipnode.cli.confirm import confirm
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.options import checked, output_option, run_async
from gossipnode.cli.output import counted, print_folded, print_json, print_line, say
from gossipnode.cli.standard_streams import until_reader_leaves
from gossipnode.config.values import member_name

if TYPE_CHECKING:
    from gossipnode.node.membership.recover_store import Recovery


@click.command("recover", cls=Command)
@click.option(
    "--data-dir", type=PathType(path_type=Path), required=True, metavar="D", help="Of a stopped node."
)
@click.option(
    "--name",
    callback=checked(member_name),
    metavar="N",
    help="The node's name; needed only if the data directory lost its note of it.",
)
@click.option("--yes", is_flag=True, help="Do not ask. Needed without a terminal.")
@output_option
def command(data_dir: Path, name: str | None, yes: bool, output: str) -> None:
    """Go on with one survivor, when a majority of the members is gone for good.

    Run it at one member only, which must be stopped: where several survived, at the one that knows the newest
    epoch, which the question names. Its data directory becomes that of a new cluster, in which it is the only
    member. Groups and records stay. The command says which shards may lack acknowledged writes, and asks.

    Every other member comes back by `run --join ADDR --as-new`, and hands over what it has. None of them may
    be started without that: a majority of them would go on with the old cluster, beside the new one.
    """
    from gossipnode.client.errors import sole_error
    from gossipnode.core.cluster.change_refusals import ChangeRefusedError
    from gossipnode.store.interface import StoreError
    from gossipnode.store.sqlite.disk.file import FILE_NAME

    if not data_dir.is_dir():
        raise Failure(f"--data-dir {data_dir}: no such directory", WRONG_USE)
    if not (data_dir / FILE_NAME).exists():
        # Opening would make an empty one.
        raise Failure(f"there is no store in {data_dir}: name the data directory of a node", FAILED)
    try:
        recovery = run_async(_recover, data_dir, name, yes)
    except (StoreError, ChangeRefusedError, BaseExceptionGroup) as caught:
        error = sole_error(caught)
        if not isinstance(error, StoreError | ChangeRefusedError):
            raise
        raise Failure(
            f"{data_dir}: {error}".replace(f"{data_dir}: {data_dir}", str(data_dir)), FAILED
        ) from None
    with until_reader_leaves():
        if output == "json":
            print_json(_shape(data_dir, recovery))
        else:
            _print(data_dir, recovery)


async def _recover(data_dir: Path, name: str | None, yes: bool) -> Recovery:
    from gossipnode.node.membership.recover_store import carry_out_recovery, plan_recovery
    from gossipnode.store.sqlite.sqlite_store import open_sqlite_store
    from gossipnode.wire.property.canonical_json import leaf_digest
    from gossipnode.wire.property.index_rows import payload_rows

    async with open_sqlite_store(
        data_dir, leaf_digest=partial(leaf_digest, spacing="none"), index_rows=payload_rows, dialect=None
    ) as store:
        recovery = await plan_recovery(store, name, random.SystemRandom())
        for line in _findings(recovery):
            say(line)
        question = (
            f"make {recovery.own.name} the only member of a new cluster, in place of the one in epoch "
            f"{recovery.before.epoch} ({', '.join(recovery.before.members)})"
        )
        confirm(question, yes=yes, unattended=False)
        await carry_out_recovery(store, recovery)
    return recovery


def _findings(recovery: Recovery) -> Iterable[str]:
    """What is known before the question is asked."""
    before, doubtful = recovery.before, recovery.doubtful
    name = recovery.own.name
    yield (
        f"{name} has {_amount(recovery)}; the newest epoch that it knows is {before.epoch}, with the members "
        f"{', '.join(before.members)} and {counted(len(before.groups), 'group')}"
    )
    if doubtful.no_copy:
        yield f"{name} has no copy of {named_shards(doubtful.no_copy)}: only other members have their records"
    if doubtful.one_copy_of_several:
        yield (
            f"{name} may lack acknowledged writes of {named_shards(doubtful.one_copy_of_several)}: it has "
            "one of several copies, and not each write is in each of them"
        )
    yield "what was decided after that epoch, and writes that were acknowledged at `one`, may be missing, too"


def _amount(recovery: Recovery) -> str:
    return f"{counted(recovery.records, 'record')} and {counted(recovery.tombstones, 'tombstone')}"


def _shape(data_dir: Path, recovery: Recovery) -> dict[str, object]:
    doubtful = recovery.doubtful
    return {
        "data_dir": str(data_dir),
        "name": recovery.own.name,
        "epoch_before": recovery.before.epoch,
        "epoch": recovery.after.epoch,
        "cluster_id": recovery.after.cluster_id.hex(),
        "members_before": list(recovery.before.members),
        "groups": list(recovery.after.groups),
        "records": recovery.records,
        "tombstones": recovery.tombstones,
        "no_copy": list(map(str, doubtful.no_copy)),
        "one_copy_of_several": list(map(str, doubtful.one_copy_of_several)),
        "run_here": start_line(recovery.survivor, data_dir),
        "run_others": join_lines(recovery.survivor, recovery.others),
    }


def _print(data_dir: Path, recovery: Recovery) -> None:
    own = recovery.survivor
    print_folded(
        f"{own.name} is the only member of a new cluster, in epoch {recovery.after.epoch}, with "
        f"{counted(len(recovery.after.groups), 'group')}, {_amount(recovery)}."
    )
    print_folded("Start it with its settings, as before, or with:")
    print_line(f"  {start_line(recovery.survivor, data_dir)}")
    print_folded(
        "Then start each other member with its settings, --join and --as-new, on its own data directory if "
        "that is left, else on an empty one. In any other way it would go on with the old cluster:"
    )
    for line in join_lines(recovery.survivor, recovery.others):
        print_line(f"  {line}")
