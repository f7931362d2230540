"""Builds the suites: h2spec with our edits, and client and server of grpc-go's interop cases.

All of it comes from the Go module proxy, in the versions of `go/go.mod`. This repository
keeps none of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from conformance_suites.edits import edit_h2spec
from conformance_suites.results import SuiteError, Unavailable

FILES: Final = Path(__file__).parent / "go"
H2SPEC: Final = "github.com/summerwind/h2spec"
GRPC: Final = "google.golang.org/grpc"
# A closed network may answer nothing at all.
DOWNLOAD_SECONDS: Final = 120.0
BUILD_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class GoPrograms:
    """The programs that were built, and the versions of what they were built of."""

    h2spec: Path
    client: Path
    server: Path
    versions: Mapping[str, str]


@contextmanager
def built() -> Iterator[GoPrograms]:
    """Build all programs in a temporary folder. Raises Unavailable, and SuiteError if the build fails."""
    if shutil.which("go") is None:
        raise Unavailable("Go is not installed")
    versions = module_versions((FILES / "go.mod").read_text(encoding="utf-8"))
    with TemporaryDirectory(prefix="conformance-") as name:
        folder = Path(name)
        copy_h2spec(folder, versions[H2SPEC])
        for file in FILES.iterdir():
            shutil.copy(file, folder)
        packages = [".", f"{H2SPEC}/cmd/h2spec", f"{GRPC}/interop/server"]
        download(folder, "list", "-deps", *packages)
        run_go(folder, BUILD_SECONDS, "build", "-o", f"{folder}/bin/", *packages)
        programs = folder / "bin"
        yield GoPrograms(programs / "h2spec", programs / "conformance", programs / "server", versions)


def module_versions(go_mod: str) -> dict[str, str]:
    """The versions that a go.mod requires, by module."""
    return dict(re.findall(r"^\t(\S+) (v\S+)", go_mod, re.MULTILINE))


def copy_h2spec(folder: Path, version: str) -> None:
    """Lay a copy of h2spec with our edits into `folder`, as the `replace` in go.mod expects it."""
    module = f"{H2SPEC}@{version}"
    download(folder, "mod", "download", module)
    source = Path(json.loads(run_go(folder, DOWNLOAD_SECONDS, "mod", "download", "-json", module))["Dir"])
    copy = folder / "h2spec"
    shutil.copytree(source, copy)
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)  # Go keeps its modules read-only
    (copy / "go.mod").write_text(f"module {H2SPEC}\n", encoding="utf-8")
    edit_h2spec(copy)


def download(folder: Path, *arguments: str) -> str:
    """Run a command of Go that may have to download. Raises Unavailable if it fails."""
    try:
        return run_go(folder, DOWNLOAD_SECONDS, *arguments)
    except SuiteError as error:
        raise Unavailable(f"the suites cannot be had here: {error}") from error


def run_go(folder: Path, seconds: float, *arguments: str) -> str:
    """What a command of Go printed. Raises SuiteError with its last line if it fails."""
    # The toolchain that is here, and no other one from the network.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}
    try:
        done = subprocess.run(
            ["go", *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SuiteError(f"go {arguments[0]} took more than {seconds:g} s") from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise SuiteError(f"go {arguments[0]}: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
