"""Addresses as people write them: HOST:PORT or [IPV6]:PORT.

Texts are parsed only; nothing is resolved or dialed here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

PORT_MAX = 65535
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252}[A-Za-z0-9_.])?")
_ZERO_IPV4 = re.compile(r"(0x)?0+(\.(0x)?0+){0,3}", re.IGNORECASE)
"""0.0.0.0 in the spellings that sockets take: hexadecimal numbers, and fewer than four of them."""
_ZERO_IPV6 = (ipaddress.IPv6Address("::"), ipaddress.IPv6Address("::ffff:0.0.0.0"))
_FORMS_EXPECTED = "expected HOST:PORT or [IPV6]:PORT"


class AddressError(ValueError):
    """A text that is no address. The message names the text and what was expected."""


class Address(NamedTuple):
    """Where a node listens. `host` is a name or a bare IP address, without brackets."""

    host: str
    port: int

    @property
    def is_everywhere(self) -> bool:
        """Whether it stands for all addresses of a machine: one can listen there, and nobody can dial it."""
        if ":" not in self.host:
            return bool(_ZERO_IPV4.fullmatch(self.host))
        bare, _, _zone = self.host.partition("%")
        return ipaddress.IPv6Address(bare) in _ZERO_IPV6

    @property
    def is_loopback(self) -> bool:
        """Whether only programs on the same machine reach it. A name counts if it is `localhost`."""
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str, *, allow_port_zero: bool = False) -> Address:
    """Parse HOST:PORT or [IPV6]:PORT.

    `allow_port_zero` is for addresses to listen on, where port 0 means any free port.

    Raises:
        AddressError: names the text and what was expected.
    """
    if text.startswith("["):
        inner, bracket, rest = text[1:].partition("]")
        if not bracket or not rest.startswith(":"):
            raise AddressError(f"{text[:80]!r} is no address: {_FORMS_EXPECTED}")
        return Address(_ipv6(inner, text), _port(rest[1:], text, allow_port_zero))
    if "://" in text:
        raise AddressError(f"{text[:80]!r} is a URL, not an address: {_FORMS_EXPECTED}")
    host, colon, port = text.rpartition(":")
    if not colon:
        raise AddressError(f"{text[:80]!r} has no port: {_FORMS_EXPECTED}")
    if ":" in host:
        raise AddressError(
            f"{text[:80]!r} is no address: write an IPv6 address in brackets, as in [::1]:7400"
        )
    if not host:
        raise AddressError(f"{text[:80]!r} has no host: {_FORMS_EXPECTED}")
    _check_host(host, text)
    return Address(host, _port(port, text, allow_port_zero))


def _port(digits: str, text: str, allow_zero: bool) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", digits) or int(digits) > PORT_MAX:
        raise AddressError(f"{text[:80]!r} has no valid port: expected a number from 1 to {PORT_MAX}")
    port = int(digits)
    if port == 0 and not allow_zero:
        raise AddressError(f"{text[:80]!r} has port 0, which nobody can dial: expected 1 to {PORT_MAX}")
    return port


def _ipv6(inner: str, text: str) -> str:
    try:
        ipaddress.IPv6Address(inner)
    except ValueError:
        raise AddressError(f"{text[:80]!r} holds no IPv6 address between its brackets") from None
    return inner


def _check_host(host: str, text: str) -> None:
    if re.fullmatch(r"[0-9.]+", host):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            raise AddressError(f"{text[:80]!r} holds no IPv4 address: {host!r}") from None
    elif not _HOST_NAME.fullmatch(host):
        raise AddressError(f"{text[:80]!r} has no valid host name: {_FORMS_EXPECTED}")
