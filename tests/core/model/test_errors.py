from __future__ import annotations

import pytest

from gossipnode.core.model.errors import (
    CoreError,
    InvalidEntityError,
    InvalidRecordError,
    InvalidRoundError,
    SessionViolationError,
)


@pytest.mark.parametrize(
    "error", [InvalidEntityError, InvalidRecordError, SessionViolationError, InvalidRoundError]
)
def test_the_errors_of_the_core_have_one_base(error: type[Exception]) -> None:
    assert issubclass(error, CoreError)
    assert issubclass(error, ValueError)
