"""The node of `run --dev`: one for trying things out, with records that go away when it stops."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gossipnode.cli.failure import WRONG_USE, Failure
from gossipnode.cli.output import say
from gossipnode.config.address import Address

_DEFAULTS: Mapping[str, object] = {
    "node.name": "dev",
    "node.listen": "127.0.0.1:7400",
    "groups": ["sw:1:1"],
    "repair.schedule": "",
}
_NOT_WITH_DEV = {
    "node.data_dir": "--data-dir",
    "cluster.peers": "--peer",
    "cluster.join": "--join",
    "cluster.foreign": "--foreign-peer",
}


@contextmanager
def dev_settings(given: Mapping[str, object], *, with_file: bool) -> Generator[dict[str, object]]:
    """The settings of such a node: those that were `given`, else our own. Its directory lasts for the block.

    Raises:
        Failure: what was given asks for other nodes, or for records that stay.
    """
    wrong = ["--config"] if with_file else []
    wrong += [option for key, option in _NOT_WITH_DEV.items() if given.get(key) is not None]
    if wrong:
        what = "--dev runs one node by itself, whose records go away when it stops"
        raise Failure(f"{what}: leave out {wrong[0]}, or --dev", WRONG_USE)
    chosen = {key: value for key, value in given.items() if value is not None}
    with tempfile.TemporaryDirectory(prefix="gossipnode-") as directory:
        yield {**_DEFAULTS, **chosen, "node.data_dir": str(Path(directory, "data"))}


def say_dev(group: str, address: Address) -> None:
    """Tell what this node is, and what to do with it."""
    at = address if address.port else "the address that it says"
    say(
        "gossipnode: --dev: a node for trying things out, alone and without replicas; its records go away "
        "when it stops"
    )
    say(f"gossipnode: in another terminal: gossipnode apply {group}/service/web-1 port:int=8080 --at {at}")
