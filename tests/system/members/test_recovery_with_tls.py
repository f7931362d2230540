"""Nodes with certificates come as new members, too: of a name that was forgotten, and of one nobody knows."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.system.nodes import Nodes, stop_all
from tests.system.processes import command, eventually
from tests.system.stock_client import Stock
from tests.system.stock_messages import property_of, tags_of
from tests.system.test_mutual_tls import authority, local

pytestmark = pytest.mark.slow


def test_members_with_certificates_come_as_new_ones(nodes: Nodes, tmp_path: Path) -> None:
    files = authority(tmp_path / "tls")
    files.issue("client", "somebody.example")
    credentials = files.credentials("client")

    def tls(name: str) -> dict[str, object]:
        return {**files.settings(name), "members": ["zz"]}

    a, b, _ = nodes.start("a", "b", "c", tls=tls)
    with Stock(local(a), credentials=credentials, metadata=[("gossipnode-ack", "all")]) as stock:
        stock.apply(property_of("sw", "n", "early", {"k": 0}))
    b.kill()
    with Stock(local(a), credentials=credentials) as stock:
        stock.apply(property_of("sw", "n", "late", {"k": 1}))
    b.start()
    for node in nodes.nodes.values():
        node.kill()
    assert command("recover", "--data-dir", str(a.data_dir), "--yes").code == 0
    a.start()
    # c comes under its own name, and under another one b's directory, whose name the cluster never had.
    c, (zz,) = nodes["c"], nodes.plan("zz", groups=(), tls=tls)
    shutil.copytree(b.data_dir, zz.data_dir)
    c.start("--join", local(a), "--as-new")
    refused = zz.try_start("--join", local(a))
    assert refused is not None
    assert "--join ADDR --as-new brings its records in" in refused.err
    zz.start("--join", local(a), "--as-new")

    def held(node_address: str) -> dict[str, object]:
        with Stock(node_address, credentials=credentials, metadata=[("gossipnode-ack", "local")]) as stock:
            return {record.id: tags_of(record)["k"] for record in stock.query("sw")}

    for node in (a, c, zz):
        eventually(lambda node=node: held(local(node)) == {"early": 0, "late": 1}, "both records")
    stop_all(a, c, zz)
