"""The options that commands share, each with the error for its wrong use."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from gossipnode.cli.command_classes import PathType
from gossipnode.client.values.defaults import DEFAULT_TIMEOUT_SECONDS
from gossipnode.config.address import Address, AddressError, parse_address
from gossipnode.config.keys import SettingsError
from gossipnode.config.values import Parser, WrongValueError, any_group_name, text

if TYPE_CHECKING:
    from gossipnode.client.calls.node_client import NodeClient

DEFAULT_AT = "127.0.0.1:7400"
ACK_LEVELS = ("local", "one", "quorum", "all")

AnyCommand = TypeVar("AnyCommand", bound=Callable[..., Any])
AnyResult = TypeVar("AnyResult")


@dataclass(frozen=True, slots=True)
class NodeTarget:
    """The node that a command asks, and how it is reached."""

    address: Address
    timeout_seconds: float
    ca: Path | None
    cert: Path | None
    key: Path | None
    server_name: str | None

    def connect(self) -> AbstractAsyncContextManager[NodeClient]:
        """A client of the node."""
        from gossipnode.client.calls.node_client import TlsFiles, connect_node

        tls = None if self.ca is None else TlsFiles(self.ca, self.cert, self.key)
        return connect_node(
            self.address, timeout_seconds=self.timeout_seconds, tls=tls, server_name=self.server_name
        )


class AddressType(click.ParamType[Address]):
    """HOST:PORT."""

    name = "HOST:PORT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """Parse the text, or keep an address."""
        if isinstance(value, Address):
            return value
        try:
            return parse_address(str(value))
        except AddressError as error:
            self.fail(str(error), param, ctx)


def checked(parser: Parser) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A callback that reads a value as the settings of a node do."""

    def read(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if value is None:
            return None
        try:
            return parser(value)
        except WrongValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return read


group_argument = click.argument("group", callback=checked(any_group_name))
"""The argument GROUP: a group that exists, whatever its name is."""


def positive_seconds(ctx: click.Context, param: click.Parameter, value: float) -> float:
    """Check a number of seconds."""
    if not 0 < value < float("inf"):
        raise click.BadParameter(f"{value:g} is not above 0", ctx, param)
    return value


_OF_PROFILES = {
    "at": "at",
    "ca": "tls_ca",
    "cert": "tls_cert",
    "key": "tls_key",
    "server_name": "server_name",
}
"""The parameters of commands, by the keys of a profile."""


def _with_profile(ctx: click.Context, profile: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """The values of the options by their parameters, those of a profile in the place of what was not given.

    An option on the command line counts more than a profile. A variable of the environment does, too, unless
    the profile is named on the command line: who names one there means all of it.
    """
    if profile is None:
        return given
    from gossipnode.config.profiles import profiles_path, read_profile

    try:
        values = read_profile(profiles_path(os.environ), profile)
    except SettingsError as error:
        raise click.BadParameter(str(error), ctx, param_hint="--profile") from None
    stays = {ParameterSource.COMMANDLINE}
    if ctx.get_parameter_source("profile") is ParameterSource.ENVIRONMENT:
        stays.add(ParameterSource.ENVIRONMENT)
    taken = {
        _OF_PROFILES[key]: value
        for key, value in values.items()
        if ctx.get_parameter_source(_OF_PROFILES[key]) not in stays
    }
    return given | taken


_TARGET_OPTIONS = (
    click.option(
        "--at",
        type=AddressType(),
        default=DEFAULT_AT,
        show_default=True,
        envvar="GOSSIPNODE_AT",
        metavar="HOST:PORT",
        help="The node asked (or GOSSIPNODE_AT).",
    ),
    click.option(
        "--timeout",
        "timeout_seconds",
        type=float,
        default=DEFAULT_TIMEOUT_SECONDS,
        show_default=True,
        callback=positive_seconds,
        metavar="SECONDS",
        help="How long to wait while nothing arrives.",
    ),
    click.option(
        "--ca",
        "tls_ca",
        type=PathType(path_type=Path),
        envvar="GOSSIPNODE_CA",
        metavar="FILE",
        help="TLS: the cluster's CA (or GOSSIPNODE_CA).",
    ),
    click.option(
        "--cert",
        "tls_cert",
        type=PathType(path_type=Path),
        envvar="GOSSIPNODE_CERT",
        metavar="FILE",
        help="TLS: our certificate (or GOSSIPNODE_CERT).",
    ),
    click.option(
        "--key",
        "tls_key",
        type=PathType(path_type=Path),
        envvar="GOSSIPNODE_KEY",
        metavar="FILE",
        help="TLS: our certificate's key (or GOSSIPNODE_KEY).",
    ),
    click.option(
        "--server-name",
        callback=checked(text),
        envvar="GOSSIPNODE_SERVER_NAME",
        metavar="NAME",
        help="TLS: the name to expect in the node's certificate, if that does not hold the host of --at (or "
        "GOSSIPNODE_SERVER_NAME).",
    ),
    click.option(
        "--profile",
        envvar="GOSSIPNODE_PROFILE",
        metavar="NAME",
        callback=checked(text),
        help="Take --at, --ca, --cert, --key and --server-name from a profile of ~/.config/gossipnode/"
        "profiles.toml (or GOSSIPNODE_PROFILE).",
    ),
)


def target_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that name a node and how it is reached; the command gets them as one `target`."""

    @wraps(command)
    def gathered(*arguments: Any, timeout_seconds: float, profile: str | None, **options: Any) -> Any:
        given = {name: options.pop(name) for name in _OF_PROFILES.values()}
        values = _with_profile(click.get_current_context(), profile, given)
        at: Address = values["at"]
        tls_ca: Path | None = values["tls_ca"]
        tls_cert: Path | None = values["tls_cert"]
        tls_key: Path | None = values["tls_key"]
        server_name: str | None = values["server_name"]
        if (tls_cert is None) != (tls_key is None):
            raise click.UsageError("--cert and --key belong together: give both")
        if tls_cert is not None and tls_ca is None:
            raise click.UsageError("--cert needs --ca, the CA that signed the node's certificate")
        if server_name is not None and tls_ca is None:
            raise click.UsageError("--server-name needs --ca: only a certificate has a name to expect")
        target = NodeTarget(at, timeout_seconds, tls_ca, tls_cert, tls_key, server_name)
        return command(*arguments, target=target, **options)

    wrapped: Callable[..., Any] = gathered
    for option in reversed(_TARGET_OPTIONS):
        wrapped = option(wrapped)
    return wrapped


def output_option(command: AnyCommand) -> AnyCommand:
    """Add -o table|json; the command gets it as `output`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print results.",
    )(command)


def ack_option(command: AnyCommand) -> AnyCommand:
    """Add --ack; the command gets it as `ack`, empty for what the group says."""
    return click.option(
        "--ack",
        type=click.Choice(ACK_LEVELS),
        help="Which replicas must have taken part (local: the node asked alone); if not given, what the "
        "group says.",
        callback=_empty_for_none,
    )(command)


def _empty_for_none(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str:
    return value or ""


def run_async(work: Callable[..., Awaitable[AnyResult]], *arguments: Any) -> AnyResult:
    """Run a command's work under Trio."""
    import trio

    return trio.run(work, *arguments)
