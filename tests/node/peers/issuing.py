"""Certificates for nodes, as files."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

import trustme

from gossipnode.config.settings import Settings, load_settings
from gossipnode.node.peers.access import Access
from gossipnode.node.peers.audit import Audit
from gossipnode.node.peers.secret import Secret
from tests.node.support import make_local


class Issuer:
    """A CA, and certificates by name, as files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.ca = directory / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))

    def issue(
        self, *names: str, file: str = "", begins: datetime | None = None, ends: datetime | None = None
    ) -> dict[str, object]:
        """The settings of [tls] for a node that shows these names."""
        issued = self.authority.issue_cert(*names, not_before=begins, not_after=ends)
        cert, key = (self.directory / f"{file or names[0]}.{kind}" for kind in ("pem", "key"))
        cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return {"tls.ca": str(self.ca), "tls.cert": str(cert), "tls.key": str(key)}


def settings(**overrides: object) -> Settings:
    return load_settings(
        overrides={
            "node.name": "a",
            "node.listen": "a:7400",
            "node.data_dir": "unused",
            "cluster.peers": ["b=b:7400"],
            "groups": ["sw:1:2"],
            **overrides,
        }
    )


def open_to_all() -> Access:
    """That of a node without TLS."""
    return Access(settings(), make_local().cluster, Audit())


def no_secret() -> Secret:
    """That of a cluster without one."""
    return Secret("a", "main", (), random.Random(1))
