from __future__ import annotations

import pytest
import trio

from gossipnode.concurrency.exception_groups import errors_in
from gossipnode.concurrency.nursery_errors import first_error, one_error


def test_errors_are_found_in_order_at_any_depth() -> None:
    first, second, third = ValueError("1"), KeyError("2"), OSError("3")
    group = ExceptionGroup("outer", [first, ExceptionGroup("inner", [second]), third])
    assert list(errors_in(group)) == [first, second, third]
    assert list(errors_in(first)) == [first]


async def cancelled() -> BaseException:
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as error:
            return error
    raise AssertionError("nothing was cancelled")


async def test_cancellations_are_passed_over() -> None:
    error = ValueError()
    assert first_error(BaseExceptionGroup("", [await cancelled(), error])) is error
    assert first_error(BaseExceptionGroup("", [await cancelled()])) is None
    assert first_error(await cancelled()) is None


async def test_the_first_error_of_a_nursery_leaves_by_its_own_kind() -> None:
    async def fails() -> None:
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                raise KeyError

    with pytest.raises(KeyError):
        await fails()


async def test_a_cancellation_from_outside_passes() -> None:
    with trio.CancelScope() as scope:
        with one_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                scope.cancel()
    assert scope.cancelled_caught
