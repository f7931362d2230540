from __future__ import annotations

from gossipnode.client.errors import NotFoundError, sole_error


def test_the_sole_error_of_a_group() -> None:
    found, noise = NotFoundError("x"), ValueError("y")
    assert sole_error(found) is found
    assert sole_error(ExceptionGroup("", [ExceptionGroup("", [found])])) is found
    assert sole_error(ExceptionGroup("", [noise, ExceptionGroup("", [found])])) is found
    interrupt = KeyboardInterrupt()
    assert sole_error(BaseExceptionGroup("", [found, interrupt])) is interrupt
    both = ExceptionGroup("", [noise, OSError()])
    assert sole_error(both) is both
    assert sole_error(ExceptionGroup("", [both])) is both
