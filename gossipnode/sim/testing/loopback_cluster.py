"""A cluster in a thread of its own, for applications that do not run under Trio or that must use sockets."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import TypeVar, TypeVarTuple

import trio

from gossipnode.concurrency.nursery_errors import first_error
from gossipnode.sim.testing.fault_injector import (
    DEFAULT_NODES,
    SETTLE_SECONDS,
    ClusterError,
    FaultInjector,
    check_ended_well,
    node_names,
    start_nodes,
)
from gossipnode.sim.testing.loopback_nodes import LoopbackNodes

ASK_SECONDS = SETTLE_SECONDS + 10.0
"""How long a test waits for anything that it asks of the cluster's thread."""

END_SECONDS = 30.0
"""How long the end of a test waits for the thread to end."""

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class BlockingFaults:
    """`FaultInjector` for other threads than the cluster's: each call returns once it is done.

    Code under asyncio may call these as they are, since they are quick. `stop` and `settle` may take seconds:
    await `asyncio.to_thread(faults.settle)` where the application must go on meanwhile.
    """

    def __init__(self, thread: ClusterThread) -> None:
        """Act on the cluster that runs in `thread`."""
        self._ask = thread.ask
        self._faults = thread.faults

    def crash(self, name: str) -> None:
        """See `FaultInjector.crash`."""
        self._ask(self._faults.crash, name)

    def stop(self, name: str) -> None:
        """See `FaultInjector.stop`."""
        self._ask(self._faults.stop, name)

    def restart(self, name: str) -> None:
        """See `FaultInjector.restart`."""
        self._ask(self._faults.restart, name)

    def cut_off(self, name: str) -> None:
        """See `FaultInjector.cut_off`."""
        self._ask(self._faults.cut_off, name)

    def split(self, *names: str) -> None:
        """See `FaultInjector.split`."""
        self._ask(self._faults.split, *names)

    def hang(self, name: str) -> None:
        """See `FaultInjector.hang`."""
        self._ask(self._faults.hang, name)

    def slow(self, name: str, seconds: float) -> None:
        """See `FaultInjector.slow`."""
        self._ask(self._faults.slow, name, seconds)

    def heal(self) -> None:
        """See `FaultInjector.heal`."""
        self._ask(self._faults.heal)

    def settle(self) -> None:
        """See `FaultInjector.settle`."""
        self._ask(self._faults.settle)


class LoopbackCluster:
    """A cluster on this machine, as a test has it. Made by `loopback_cluster`."""

    def __init__(self, thread: ClusterThread) -> None:
        """Show the cluster that runs in `thread`."""
        self.names = tuple(thread.nodes.names)
        """The names of the nodes: a, b, c and so on."""
        self._nodes = thread.nodes
        self.faults = BlockingFaults(thread)
        """What can be done to the nodes. Each method blocks until it is done."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses of all nodes, for `gossipnode.client.connect`."""
        return tuple(self.address(name) for name in self.names)

    def address(self, name: str) -> str:
        """The address of a node, for `gossipnode.client.connect`. It stays the same over restarts."""
        return str(self._nodes.address(name))


class ClusterThread:
    """The thread, and what other threads may ask of it."""

    def __init__(self, nodes: LoopbackNodes) -> None:
        """Nothing runs before `start`."""
        self.nodes = nodes
        self.faults: FaultInjector
        self._token: trio.lowlevel.TrioToken
        self._end: trio.Event
        self._ready: Future[None] = Future()
        self._ended: Future[None] = Future()
        # A test run that is interrupted is not held up by this thread.
        self._thread = threading.Thread(target=self._work, name="gossipnode loopback cluster", daemon=True)

    def start(self) -> None:
        """Start the thread, and wait until all nodes serve. Raises what has hindered them."""
        self._thread.start()
        try:
            self._ready.result()
        except BaseException:
            self._thread.join(END_SECONDS)
            raise

    def ask(self, work: Callable[[*Arguments], Awaitable[Result]], *arguments: *Arguments) -> Result:
        """Run an async function in the thread, and wait for its result.

        Raises:
            ClusterError: the cluster has ended, or the answer takes too long.
        """

        async def in_time() -> Result:
            with trio.fail_after(ASK_SECONDS):
                return await work(*arguments)

        try:
            return trio.from_thread.run(in_time, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled):
            raise ClusterError("the cluster has ended, and can be asked nothing more") from None
        except trio.TooSlowError:
            raise ClusterError(f"the cluster has not answered within {ASK_SECONDS:g} seconds") from None

    def end(self) -> None:
        """End the nodes and the thread.

        Raises:
            ClusterError: a node has stopped by itself meanwhile, or the thread does not end.
        """
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(self._end.set)
        self._thread.join(END_SECONDS)
        if self._thread.is_alive():
            raise ClusterError(f"the cluster's thread has not ended within {END_SECONDS:g} seconds")
        if failure := self._ended.exception():
            raise ClusterError(f"the cluster has ended by itself: {first_error(failure)!r}") from failure
        check_ended_well(self.nodes)

    def _work(self) -> None:
        try:
            trio.run(self._run)
        except BaseException as error:  # noqa: BLE001 - the thread that waits raises it
            waiting = self._ended if self._ready.done() else self._ready
            waiting.set_exception(error)
        else:
            self._ended.set_result(None)

    async def _run(self) -> None:
        failure: ClusterError | None = None
        self._token = trio.lowlevel.current_trio_token()
        self._end = trio.Event()
        async with trio.open_nursery() as nursery:
            self.faults = FaultInjector(self.nodes, nursery)
            try:
                await start_nodes(self.nodes, nursery, *self.nodes.names)
                self._ready.set_result(None)
                await self._end.wait()
            except ClusterError as error:
                failure = error
            finally:
                self.nodes.faults.heal()
                self.nodes.stop()
        if failure is not None:
            raise failure


@contextmanager
def loopback_cluster(nodes: int = DEFAULT_NODES, groups: Sequence[str] = ()) -> Generator[LoopbackCluster]:
    """A cluster of `nodes` nodes on this machine, which runs for as long as the block does.

    It is reached by TCP at free ports of 127.0.0.1. Time is real. What is stored is kept in memory alone.
    `groups` are NAME:SHARDS:REPLICAS each, as for `gossipnode run --group`; a test may also create its own.

    Raises:
        ClusterError: a node has not started, or one has stopped by itself.
        SettingsError: a group is wrong.
    """
    made = LoopbackNodes(node_names(nodes), groups, keeps_errors=True)
    try:
        made.open_doors()
        made.settings(made.names[0])
        thread = ClusterThread(made)
        thread.start()
        try:
            yield LoopbackCluster(thread)
        finally:
            thread.end()
    finally:
        made.close_doors()
