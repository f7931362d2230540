"""What the tests of certificates are given."""

from __future__ import annotations

import pytest

from tests.node.peers.issuing import Issuer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("tls"))
