"""The command `scripts/conformance`: runs the suites, and compares with what is allowed to fail."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import trio

from conformance_suites.allowed import ALLOWED
from conformance_suites.go_tools import GRPC, H2SPEC, GoPrograms, built
from conformance_suites.h2spec import run_h2spec
from conformance_suites.interop import make_certificates, our_client, their_client
from conformance_suites.results import Suite, SuiteError, Unavailable, problems, told
from gossipnode.concurrency.nursery_errors import one_error

Run = Callable[[], Awaitable[Suite]]
NONE_ALLOWED: Final[Mapping[str, str]] = {}


def suites(programs: GoPrograms, folder: Path) -> Mapping[str, Run]:
    """Every suite by its name. Certificates are made in `folder`."""
    files = make_certificates(folder)
    theirs, ours = "grpc-go client", "grpc-go server"
    return {
        "h2spec": partial(run_h2spec, programs.h2spec),
        theirs: partial(their_client, programs.client, theirs, None),
        f"{theirs}, TLS": partial(their_client, programs.client, f"{theirs}, TLS", files),
        f"{theirs}, gzip": partial(their_client, programs.client, f"{theirs}, gzip", None, gzip=True),
        ours: partial(our_client, programs.server, ours, None),
        f"{ours}, TLS": partial(our_client, programs.server, f"{ours}, TLS", files),
    }


def shape(suite: Suite) -> dict[str, object]:
    """One suite as JSON."""
    allowed = ALLOWED.get(suite.name, NONE_ALLOWED)
    return {
        "suite": suite.name,
        "passed": suite.passed,
        "cases": len(suite.cases),
        "allowed": dict(allowed),
        "problems": list(problems(suite, allowed)),
    }


def run_all(programs: GoPrograms, *, as_json: bool) -> int:
    """Run every suite, print what each found, and give the exit code."""
    found: list[Suite] = []
    failed = False
    with TemporaryDirectory(prefix="conformance-") as folder:
        for name, run in suites(programs, Path(folder)).items():
            allowed = ALLOWED.get(name, NONE_ALLOWED)
            with one_error():
                suite = trio.run(run)
            found.append(suite)
            wrong = list(problems(suite, allowed))
            failed = failed or bool(wrong)
            if not as_json:
                print("\n".join([told(suite, allowed), *(f"  {line}" for line in wrong)]), flush=True)
    if as_json:
        versions = {module: programs.versions[module] for module in (H2SPEC, GRPC)}
        print(json.dumps({"versions": versions, "suites": [shape(suite) for suite in found]}, indent=2))
    return 1 if failed else 0


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON, at the end.")
def main(as_json: bool) -> None:
    """Judge our gRPC and HTTP/2 by suites made elsewhere, which need Go and the Go module proxy.

    Prints a line for each suite. Exits with 1 if a case fails that is not allowed to, or if one passes that
    is. Where the suites cannot be had, it says so and exits with 0.
    """
    try:
        with built() as programs:
            sys.exit(run_all(programs, as_json=as_json))
    except Unavailable as reason:
        print(json.dumps({"skipped": str(reason)}) if as_json else f"skipped: {reason}")
    except SuiteError as error:
        raise click.ClickException(str(error)) from None
