"""The declaration of a method."""

import pytest

from gossipnode.rpc import Cardinality, Method


@pytest.mark.parametrize("path", ["", "x", "/x", "/x/", "//x", "x/y"])
def test_a_method_has_a_path(path):
    with pytest.raises(ValueError, match="path"):
        Method(path, Cardinality.UNARY_UNARY, bytes, bytes, bytes, bytes)
