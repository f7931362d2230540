"""The certificates of this node, shown to those who call it and to those whom it calls."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import trio

from gossipnode.concurrency.memory_budget import MemoryBudget
from gossipnode.config.address import Address
from gossipnode.config.settings import TlsSettings
from gossipnode.core.access.certificate_rules import (
    DAY_SECONDS,
    TOLD_AGAIN_SECONDS,
    certificate_warnings,
    seconds_to_next_word,
    shown_date,
)
from gossipnode.core.access.name_patterns import node_names
from gossipnode.node.peers.certificate_files import read_certificate_files
from gossipnode.node.peers.secret import Secret
from gossipnode.node.world import Network
from gossipnode.rpc import Channel, Limits
from gossipnode.rpc.byte_stream import peer_dns_names
from gossipnode.rpc.tls import tls_listeners

PEER_LIMITS = Limits(stream_window_bytes=512 << 10)
"""The limits of a channel to another member. Searches, sessions and the requests of all clients share it, and
some of its streams are read only as fast as a client reads.
"""


class Certificates:
    """The files of `[tls]`, as they were read last. Without `[tls]` there are no files and no encryption."""

    def __init__(self, tls: TlsSettings | None) -> None:
        """Read the files.

        Raises:
            CertificateError: a file cannot be used.
        """
        self._tls = tls
        self._files = None if tls is None else read_certificate_files(tls)

    def reload(self) -> Mapping[str, object]:
        """Read the files again, for connections that are made from now on; returns what a log says of it.

        Raises:
            CertificateError: a file cannot be used; then nothing has changed.
        """
        tls = self._tls
        if tls is None:
            return {}
        # A context cannot forget a CA, so the next connections are made by other contexts.
        self._files = read_certificate_files(tls)
        own = self._files.facts.own
        return {
            "ca": str(tls.ca),
            "cert": str(tls.cert),
            "key": str(tls.key),
            "names": [] if own is None else list(own.names),
            "valid_until": "" if own is None else shown_date(own.ends),
            "authorities": self._files.authorities,
        }

    @property
    def encrypted(self) -> bool:
        """Whether connections have TLS."""
        return self._tls is not None

    @property
    def member_patterns(self) -> Sequence[str]:
        """See `core.access.name_patterns.node_names`."""
        return () if self._tls is None else self._tls.members

    def warnings(self, node: str, now_seconds: float) -> Sequence[str]:
        """What those who run the node of this name should know of its certificates at this time."""
        if self._files is None:
            return ()
        return certificate_warnings(self._files.facts, node, self.member_patterns, now_seconds)

    def seconds_to_next_word(self, now_seconds: float) -> float:
        """In how many seconds the log is to say again what `warnings` gives."""
        if self._files is None:
            return TOLD_AGAIN_SECONDS
        return seconds_to_next_word(self._files.facts, now_seconds)

    def days_left(self, now_seconds: float) -> float | None:
        """How many days from now the first of our certificates, or of our CA's, ends; None without any."""
        if self._files is None:
            return None
        facts = self._files.facts
        own = () if facts.own is None else (facts.own,)
        ends = min((each.ends for each in (*own, *facts.authorities)), default=None)
        return None if ends is None else (ends - now_seconds) / DAY_SECONDS

    def guard(self, listeners: Sequence[trio.abc.Listener[Any]]) -> Sequence[trio.abc.Listener[Any]]:
        """The listeners, with TLS where it is configured."""
        return tls_listeners(listeners, self._server_context) if self.encrypted else listeners

    def _server_context(self) -> ssl.SSLContext:
        assert self._files is not None
        return self._files.server

    def web_context(self) -> ssl.SSLContext:
        """The context for one connection to the status port. TLS must be configured."""
        assert self._files is not None
        return self._files.web

    def client_context(self, *, check_hostname: bool) -> ssl.SSLContext | None:
        """The context for one connection to another node; None where TLS is not configured.

        Without `check_hostname` any certificate of the cluster's CA will do, whatever name it holds.
        """
        if self._files is None:
            return None
        return self._files.client if check_hostname else self._files.client_of_any_name


async def tell_in_time(tell: Callable[[], None], seconds_to_next: Callable[[], float]) -> None:
    """Let it be said again what is wrong with the certificates, or soon will be, until cancelled."""
    while True:
        await trio.sleep(seconds_to_next())
        tell()


class PeerDialer:
    """Opens channels to other nodes."""

    def __init__(
        self,
        network: Network,
        rng: random.Random,
        certificates: Certificates,
        memory: MemoryBudget,
        secret: Secret,
    ) -> None:
        """Dial over `network`, showing our certificate, or proving our secret.

        `rng` spreads the pauses between tries. What the other nodes send is counted in `memory`.
        """
        self._secret = secret
        self._memory = memory
        self._network = network
        self._rng = rng
        self._certificates = certificates

    def open(self, name: str | None, address: Address) -> Channel:
        """A channel to a member, which must show a certificate with its name where TLS is configured.

        A `name` of None stands for a member whose name is not known yet.
        """
        patterns = self._certificates.member_patterns
        # A certificate may stand for a node by the first label of its name. No handshake knows of that.
        check_hostname = name is not None and not patterns
        encrypted = self._certificates.encrypted

        async def connect() -> trio.abc.Stream:
            stream = await self._network.connect(address)
            context = self._certificates.client_context(check_hostname=check_hostname)
            if context is None:
                return stream
            secured = trio.SSLStream(
                stream, context, server_hostname=name or address.host, https_compatible=True
            )
            if name is not None and patterns:
                await _check_name(secured, name, patterns)
            return secured

        return Channel(
            connect,
            authority=name if encrypted and name is not None else str(address),
            scheme="https" if encrypted else "http",
            limits=PEER_LIMITS,
            rng=self._rng,
            memory=self._memory,
            greet=self._secret.greeting(name),
        )


async def _check_name(stream: trio.SSLStream[Any], name: str, patterns: Sequence[str]) -> None:
    """Take a server for a node only if its certificate stands for one of that name.

    Raises:
        ssl.SSLError: it does not.
    """
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    names = peer_dns_names(stream)
    if name not in node_names(names, patterns):
        await trio.aclose_forcefully(stream)
        # With a number before it, the text is shown as it stands; 0 is no error of the system.
        raise ssl.SSLCertVerificationError(
            0, f"its certificate names {', '.join(names) or 'nobody'}, not {name}"
        )
