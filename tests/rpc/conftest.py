"""Certificates are slow to make: one set serves the whole run."""

import pytest

from tests.rpc.certificates import Files


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    return Files(tmp_path_factory.mktemp("tls"))
