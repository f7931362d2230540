"""What every test run needs, wherever it was started from."""

import signal
from collections.abc import Iterator

import pytest

from tests.ports import Ports


def pytest_configure() -> None:
    """Let the processes that tests start be interrupted."""
    let_children_be_interrupted()


def let_children_be_interrupted() -> None:
    """Give the processes that we start the default of SIGINT, also when we ignore it ourselves.

    A shell script starts its background jobs with SIGINT ignored. A child inherits that, and a test that
    interrupts one would wait for ever. A signal that has a handler gets its default back in a child that is
    started, so a handler that does nothing is enough; this process goes on ignoring SIGINT.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: None)


@pytest.fixture
def ports() -> Iterator[Ports]:
    """Ports for the processes of a test, which nobody else is given meanwhile."""
    held = Ports()
    yield held
    held.give_back()
