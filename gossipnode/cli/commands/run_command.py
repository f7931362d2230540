"""`run`: one node, from its settings to its exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gossipnode.cli.command_classes import ManyValues, PathType
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.local.dev_node import dev_settings, say_dev
from gossipnode.cli.options import output_option, run_async
from gossipnode.cli.output import counted, print_json, print_line, say
from gossipnode.cli.standard_streams import drop_stdout, flush_results, waiting_for_nobody
from gossipnode.concurrency.garbage import look_less_often

if TYPE_CHECKING:
    import trio

    from gossipnode.config.address import Address
    from gossipnode.config.settings import Settings
    from gossipnode.node.node import Node
    from gossipnode.node.world import OpenStore
    from gossipnode.store.interface import IndexRows, LeafDigest, Store

_PATH = PathType(path_type=Path)
_FILE = PathType()
"""The settings make the path of it."""

_SETTINGS = {
    "name": "node.name",
    "listen": "node.listen",
    "advertise": "node.advertise",
    "data_dir": "node.data_dir",
    "peers": "cluster.peers",
    "joins": "cluster.join",
    "replace": "cluster.replace",
    "as_new": "cluster.as_new",
    "accept_loss": "cluster.accept_loss",
    "foreign": "cluster.foreign",
    "groups": "groups",
    "tls_ca": "tls.ca",
    "tls_cert": "tls.cert",
    "tls_key": "tls.key",
    "log_level": "log.level",
}
"""The options that are settings, and which setting each of them is."""


@click.command("run", cls=ManyValues)
@click.option("--config", type=_PATH, metavar="FILE", help="Settings in TOML; options win over them.")
@click.option("--name", metavar="N", help="This node's name, unique in the cluster.")
@click.option("--listen", metavar="HOST:PORT", help="Where to listen; port 0 takes any free one.")
@click.option(
    "--advertise",
    metavar="HOST:PORT",
    help="Where others reach us, if not at --listen; needed where that is 0.0.0.0 or [::].",
)
@click.option("--data-dir", type=_FILE, metavar="D", help="Where records are kept; data/NAME if not given.")
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NAME=HOST:PORT...",
    help="Another member; several, or repeated.",
)
@click.option(
    "--join",
    "joins",
    multiple=True,
    metavar="HOST:PORT...",
    help="In place of --peer: a member of a running cluster; several, or repeated. The node announces itself "
    "and becomes a member. Peers in the file do not count then.",
)
@click.option("--replace", is_flag=True, help="With --join: take the place of a member whose disk is lost.")
@click.option(
    "--as-new",
    is_flag=True,
    help="With --join: take the data directory of a forgotten or recovered member, or a copy of one, over as "
    "a new member. Its records stay, and reach the others.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="With --replace: even if acknowledged writes are lost. With --as-new: drop records of groups that "
    "the cluster does not have.",
)
@click.option(
    "--foreign-peer",
    "foreign",
    multiple=True,
    metavar="NAME=HOST:PORT...",
    help="A member of another kind, which takes part in repair alone; several, or repeated.",
)
@click.option(
    "--group",
    "groups",
    multiple=True,
    metavar="NAME:SHARDS:REPLICAS...",
    help="A group, as in sw:1:3; several, or repeated.",
)
@click.option("--ca", "tls_ca", type=_FILE, metavar="FILE", help="TLS: the cluster's CA.")
@click.option("--cert", "tls_cert", type=_FILE, metavar="FILE", help="TLS: this node's certificate.")
@click.option("--key", "tls_key", type=_FILE, metavar="FILE", help="TLS: the certificate's key.")
@click.option("--log-level", metavar="LEVEL", help="debug, info (the default), warning or error.")
@click.option(
    "--dev",
    is_flag=True,
    help="Try it out: one node at 127.0.0.1:7400 with the group sw, whose records go away when it stops.",
)
@click.option("--check-config", is_flag=True, help="Check the settings, print them, and run nothing.")
@click.option(
    "--reseed",
    is_flag=True,
    help="Move a damaged file of records aside and start empty; a member of a cluster also needs --join "
    "and --replace.",
)
@click.option("--until-stdin-closes", is_flag=True, hidden=True, help="Stop when standard input ends.")
@output_option
def command(
    config: Path | None,
    dev: bool,
    check_config: bool,
    reseed: bool,
    until_stdin_closes: bool,
    output: str,
    **given: str | bool | tuple[str, ...] | None,
) -> None:
    """Run one node. Prints `ready NAME ADDR` on stdout once it listens.

    The nodes of a configuration form a cluster once all of them are up; `status` says whom they wait for.
    From then on a majority of the members decides who is one: a further node is started with --join.

    SIGTERM and Ctrl-C let running sessions finish, for 10 s at most; a second one exits at once. SIGHUP reads
    the CA, the certificate and its key again, for new connections. Every setting can also come from the
    environment, as GOSSIPNODE_NODE_NAME.

    [node] status_listen = "127.0.0.1:7480" serves a status page, metrics and health by HTTP; with TLS by
    HTTPS, on any address, to those whose certificates may read.
    """
    options = {_SETTINGS[option]: _value(value) for option, value in given.items()}
    with ExitStack() as stack:
        if dev:
            options = stack.enter_context(dev_settings(options, with_file=config is not None))
        settings = load_or_fail(config, options)
        if dev and not check_config:
            say_dev(next(iter(settings.groups)), settings.node.advertise)
        _run_or_check(settings, output, reseed, until_stdin_closes, check_config=check_config)


def _run_or_check(
    settings: Settings, output: str, reseed: bool, until_stdin_closes: bool, *, check_config: bool
) -> None:
    for line in settings.without_effect:
        say(f"gossipnode: {line}")
    if check_config:
        _check_as_run(settings)
        _print_settings(settings, output)
        return
    from gossipnode.observe.logs import configure_logs

    with waiting_for_nobody() as write:
        configure_logs(settings.log.level, settings.log.format, write=write)
        run_async(_run, settings, reseed, until_stdin_closes)


def _value(given: str | bool | tuple[str, ...] | None) -> object:
    """The value of an option as the settings take it; None if it was not given."""
    return list(given) or None if isinstance(given, tuple) else None if given is False else given


def load_or_fail(config: Path | None, overrides: dict[str, object]) -> Settings:
    """The settings of a node, or the end of the command."""
    from gossipnode.config.settings import SettingsError, load_settings

    try:
        return load_settings(config, os.environ, overrides)
    except SettingsError as error:
        nothing = config is None and not any(value is not None for value in overrides.values())
        todo = "; to try a node out without any settings: gossipnode run --dev" if nothing else ""
        raise Failure(f"{error}{todo}", WRONG_USE) from None


def _check_as_run(settings: Settings) -> None:
    """Judge what `run` judges before it opens anything: certificates, and what sends traces."""
    from gossipnode.node.peers.certificate_files import CertificateError
    from gossipnode.node.peers.certificates import Certificates
    from gossipnode.observe.traces.trace_export import SdkMissingError, check_sdk

    try:
        check_sdk(settings.traces.endpoint, os.environ)
        certificates = Certificates(settings.tls)
    except (CertificateError, SdkMissingError) as error:
        raise Failure(str(error), WRONG_USE) from None
    for line in certificates.warnings(settings.node.name, time.time()):
        say(f"gossipnode: {line}")


def _print_settings(settings: Settings, output: str) -> None:
    from gossipnode.config.settings import describe_settings
    from gossipnode.config.values import format_duration

    described = describe_settings(settings)
    if output == "json":
        print_json(described)
        return
    print_line(f"the settings are right: node {settings.node.name} at {settings.node.listen}")
    print_line(f"members: {', '.join(f'{name} {address}' for name, address in settings.members.items())}")
    if settings.cluster.foreign:
        foreign = settings.cluster.foreign.items()
        print_line(f"foreign members: {', '.join(f'{name} {address}' for name, address in foreign)}")
    if settings.cluster.join:
        print_line(f"joins through: {', '.join(map(str, settings.cluster.join))}")
    for name, group in settings.groups.items():
        shards, replicas = counted(group.shards, "shard"), counted(group.replicas, "replica")
        kept = format_duration(int(group.tombstone_retention_seconds))
        indexes = f", indexes: {' '.join(group.indexes)}" if group.indexes else ""
        print_line(f"group {name}: {shards}, {replicas}, ack {group.ack}, tombstones kept {kept}{indexes}")
    print_line(f"data directory: {settings.node.data_dir}")
    print_line(f"rounds: {settings.repair.schedule or 'only when asked for'}")
    if settings.traces.endpoint:
        print_line(f"traces: sent to {settings.traces.endpoint}")


async def _run(settings: Settings, reseed: bool, until_stdin_closes: bool) -> None:
    from gossipnode.client.errors import sole_error

    try:
        await _serve(settings, reseed, until_stdin_closes)
    except (Exception, BaseExceptionGroup) as caught:
        failure = _failure(sole_error(caught), settings)
        if failure is None:
            raise
        raise failure from None


async def _serve(settings: Settings, reseed: bool, until_stdin_closes: bool) -> None:
    import trio

    from gossipnode.cli.data_dir.quarantine_files import QuarantineFiles
    from gossipnode.node.node import run_node
    from gossipnode.node.world import real_world
    from gossipnode.observe.traces.trace_export import traces_sent

    # Signals are taken from the start, because an early one must neither be lost nor end in a traceback.
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:
            control = _Control(settings.node.name, nursery.cancel_scope)
            nursery.start_soon(control.follow_signals, signals)
            if until_stdin_closes:
                nursery.start_soon(control.follow_stdin)
            async with traces_sent(settings.node.name, settings.traces.endpoint, os.environ):
                world = real_world(_opener(reseed), QuarantineFiles)
                await run_node(settings, world, task_status=control)
            nursery.cancel_scope.cancel()


class _Control:
    """Tells a node to stop. It is also the node's task status, so it hears when the node serves."""

    def __init__(self, name: str, whole: trio.CancelScope) -> None:
        self._name = name
        self._whole = whole
        self._node: Node | None = None
        self._stopping = False

    def started(self, value: Node | None = None) -> None:
        """The node serves."""
        if value is None:
            return
        self._node = value
        try:
            look_less_often()
            print_line(f"ready {self._name} {value.address}")
            flush_results()
        except OSError as error:
            # The node serves all the same. Only the program that started it does not hear of it.
            drop_stdout()
            say(f"gossipnode: ready {self._name} {value.address}, but standard output: {error.strerror}")

    async def follow_signals(self, signals: AsyncIterator[int]) -> None:
        """Do what a signal asks for."""
        async for number in signals:
            if number == signal.SIGHUP:
                self._reload()
            elif self._stopping:
                os._exit(128 + number)
            else:
                self._stop()

    async def follow_stdin(self) -> None:
        """Stop when standard input ends, because then the process that held its other end is gone."""
        import trio

        async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
            # An input that cannot be read has ended.
            with contextlib.suppress(trio.BrokenResourceError):
                while await stdin.receive_some():
                    pass
        if not self._stopping:
            self._stop()

    def _stop(self) -> None:
        import trio

        from gossipnode.node.node import DRAIN_SECONDS

        self._stopping = True
        if self._node is None:
            self._whole.cancel()
            return
        self._node.request_drain()
        self._whole.deadline = trio.current_time() + DRAIN_SECONDS

    def _reload(self) -> None:
        from gossipnode.node.peers.certificate_files import CertificateError

        if self._node is None:
            return
        try:
            self._node.reload_certificates()
        except CertificateError as error:
            say(f"gossipnode: certificates not read again: {error}")


def _opener(reseed: bool) -> OpenStore:
    @asynccontextmanager
    async def open_store(
        settings: Settings, leaf_digest: LeafDigest, index_rows: IndexRows
    ) -> AsyncGenerator[Store]:
        from gossipnode.node.identity.owner import take_store
        from gossipnode.store.sqlite.sqlite_store import open_sqlite_store

        async with open_sqlite_store(
            settings.node.data_dir,
            leaf_digest=leaf_digest,
            index_rows=index_rows,
            dialect=settings.repair.leaf_json,
            reseed=reseed,
        ) as store:
            if store.moved_aside is not None:
                say(f"gossipnode: the damaged file is now {store.moved_aside}; this node starts empty")
            if not settings.cluster.as_new:
                await take_store(store, settings.node.name, settings.node.data_dir)
            yield store

    return open_store


def _failure(error: BaseException, settings: Settings) -> Failure | None:
    """How an error of starting or running ends the command; None if only a defect explains it."""
    from gossipnode.node.membership.joining import NotAMemberError
    from gossipnode.node.node import NodeFailedError
    from gossipnode.node.peers.certificate_files import CertificateError
    from gossipnode.node.shown.status_port import StatusListenError
    from gossipnode.observe.traces.trace_export import SdkMissingError
    from gossipnode.store.interface import StoreError

    match error:
        case CertificateError() | SdkMissingError():
            return Failure(str(error), WRONG_USE)
        case StoreError() | NodeFailedError() | NotAMemberError():
            return Failure(str(error), FAILED)
        case StatusListenError():
            problem = _listen_problem(error.reason, error.address, "[node] status_listen")
            return Failure(problem, FAILED)
        case OSError() if error.filename is not None or error.errno == errno.ENOSPC:
            where = error.filename or settings.node.data_dir
            return Failure(f"data directory: {where}: {error.strerror or error}", FAILED)
        case OSError():
            return Failure(_listen_problem(error, settings.node.listen, "--listen"), FAILED)
        case _:
            return None


def _listen_problem(error: OSError, address: Address, setting: str) -> str:
    inner = error.__cause__ if isinstance(error.__cause__, OSError) else error
    hint = {
        errno.EADDRINUSE: f"another program listens there; choose another {setting}, or stop it",
        errno.EADDRNOTAVAIL: "this machine has no such address",
        errno.EACCES: "ports below 1024 need a privilege",
    }.get(inner.errno or 0, f"choose another {setting}")
    reason = (inner.strerror or str(inner)).lower()
    return f"cannot listen at {address}: {reason}: {hint}"
