"""`certs`: a CA for a cluster, and certificates for its nodes and their clients."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import click

from gossipnode.cli.command_classes import CommandGroup, PathType
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure
from gossipnode.cli.options import checked, output_option
from gossipnode.cli.output import print_json, print_line
from gossipnode.config.values import WrongValueError, text

AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 825
DAYS_MAX = 36_500
"""Of any certificate made here: a date that every reader of certificates knows."""

HOST_MAX_CHARACTERS = 253
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_ROLES = {"reader": "readers", "writer": "writers", "admin": "admins"}


def _dns_name(value: object) -> str:
    """A name that can be a DNS name in a certificate, and that of a file."""
    name = text(value)
    if len(name) > HOST_MAX_CHARACTERS or not all(map(_LABEL.fullmatch, name.split("."))):
        raise WrongValueError(
            f"{name[:80]!r} is no name for a certificate: letters, digits, - and _, in parts of at most 63 "
            "characters with dots between them"
        )
    return name


def _name(value: object) -> str:
    name = _dns_name(value)
    if name.lower() == "ca":
        raise WrongValueError("'ca' is the name of the CA's own files: give another one")
    return name


def _hosts(values: object) -> tuple[str, ...]:
    from ipaddress import ip_address

    hosts: list[str] = []
    for value in cast("Sequence[str]", values):
        bare = value.removeprefix("[").removesuffix("]")
        try:
            hosts.append(str(ip_address(bare)))
        except ValueError:
            hosts.append(_dns_name(value))
    return tuple(hosts)


def _days(default: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--days",
        type=click.IntRange(1, DAYS_MAX),
        default=default,
        show_default=True,
        metavar="N",
        help="How long the certificate is valid.",
    )


_DIRECTORY = click.option(
    "--dir",
    "directory",
    type=PathType(path_type=Path, file_okay=False),
    default=".",
    show_default=True,
    metavar="D",
    help="Where the CA and the certificates are kept.",
)
_RENEW = click.option("--renew", is_flag=True, help="Take the place of the certificate that is there.")
_NAME = click.argument("name", callback=checked(_name))


@click.group("certs", cls=CommandGroup)
def command() -> None:
    """Make a CA, and certificates for nodes and clients.

    Any other CA will do as well. Whoever has the file ca.key can make certificates that the nodes take: keep
    it away from the machines of the nodes. Needs the package cryptography: pip install 'gossipnode[certs]'.
    """


@command.command("init")
@_DIRECTORY
@_days(AUTHORITY_DAYS)
@output_option
def init(directory: Path, days: int, output: str) -> None:
    """Make a CA: ca.pem for all nodes and clients, and ca.key to sign with."""
    _need_cryptography()
    from gossipnode.cli.certs.issuing import make_authority
    from gossipnode.cli.certs.pem_files import (
        AUTHORITY,
        certificate_path,
        key_path,
        refuse_existing,
        write_pair,
    )

    refuse_existing(directory, AUTHORITY, "give another --dir, or use the CA that is there")
    now = datetime.now(UTC)
    made = make_authority(f"gossipnode CA {now:%Y-%m-%d} {secrets.token_hex(3)}", now, timedelta(days=days))
    write_pair(directory, AUTHORITY, made)
    certificate, key = certificate_path(directory, AUTHORITY), key_path(directory, AUTHORITY)
    if output == "json":
        print_json({"ca": str(certificate), "key": str(key), "valid_until": _shown(made.ends)})
        return
    print_line(f"made {certificate}, the CA, valid until {_shown(made.ends)}: every node and client needs it")
    print_line(
        f"made {key}, its key: everybody who has it can make certificates; neither nodes nor clients need it"
    )
    print_line(f"next: gossipnode certs node NAME HOST... --dir {directory}")


@command.command("node")
@_NAME
@click.argument("hosts", nargs=-1, metavar="HOST...", callback=checked(_hosts))
@_DIRECTORY
@_days(CERTIFICATE_DAYS)
@_RENEW
@output_option
def node(name: str, hosts: tuple[str, ...], directory: Path, days: int, renew: bool, output: str) -> None:
    """Make a certificate for the node NAME, for the names and IP addresses at which clients reach it.

    A client that is given --at 10.0.0.1:7400 looks for 10.0.0.1 in it. Members look for NAME.
    """
    names = tuple(dict.fromkeys((name, *hosts)))
    made = _make(name, names, directory, days, renew=renew, for_servers=True)
    if output == "json":
        print_json(made)
        return
    _print_made(made)
    print_line(f"put into the file of node {name}:")
    print_line("")
    print_line("[tls]")
    for key in ("ca", "cert", "key"):
        print_line(f"{key} = {json.dumps(made[key], ensure_ascii=False)}")


@command.command("client")
@_NAME
@click.option("--role", type=click.Choice(list(_ROLES)), required=True, help="What the client may do.")
@_DIRECTORY
@_days(CERTIFICATE_DAYS)
@_RENEW
@output_option
def client(name: str, role: str, directory: Path, days: int, renew: bool, output: str) -> None:
    """Make a certificate for the client NAME, and say how the nodes know its role.

    The role is not in the certificate: the nodes' files name those who have it.
    """
    made = _make(name, (name,), directory, days, renew=renew, for_servers=False)
    line = f'{_ROLES[role]} = ["{name}"]'
    if output == "json":
        print_json({**made, "role": role, "tls": line})
        return
    _print_made(made)
    print_line(
        f"for the role of {role}, have this line in [tls] of every node's file, and restart the nodes:"
    )
    print_line("")
    print_line(line)


def _make(
    name: str, names: Sequence[str], directory: Path, days: int, *, renew: bool, for_servers: bool
) -> dict[str, Any]:
    """Make and write a certificate; gives what there is to say of it."""
    _need_cryptography()
    from gossipnode.cli.certs.issuing import CLIENTS, SERVERS_AND_CLIENTS, AuthorityError, make_certificate
    from gossipnode.cli.certs.pem_files import (
        AUTHORITY,
        certificate_path,
        key_path,
        read_authority,
        refuse_existing,
        write_pair,
    )

    authority = read_authority(directory)
    if not renew:
        refuse_existing(directory, name, "--renew takes its place")
    uses = SERVERS_AND_CLIENTS if for_servers else CLIENTS
    try:
        made = make_certificate(authority, names, datetime.now(UTC), timedelta(days=days), uses)
    except AuthorityError as error:
        raise Failure(f"{certificate_path(directory, AUTHORITY)} cannot sign: {error}", FAILED) from None
    write_pair(directory, name, made)
    return {
        "ca": str(certificate_path(directory, AUTHORITY)),
        "cert": str(certificate_path(directory, name)),
        "key": str(key_path(directory, name)),
        "names": list(names),
        "valid_until": _shown(made.ends),
    }


def _print_made(made: dict[str, Any]) -> None:
    names = ", ".join(made["names"])
    print_line(f"made {made['cert']}, valid until {made['valid_until']}, for {names}")
    print_line(f"made {made['key']}, its key")


def _shown(moment: datetime) -> str:
    from gossipnode.core.access.certificate_rules import shown_date

    return shown_date(int(moment.timestamp()))


def _need_cryptography() -> None:
    try:
        import cryptography as cryptography
    except ImportError:
        raise Failure(
            "`certs` needs the package cryptography: pip install 'gossipnode[certs]'", WRONG_USE
        ) from None
