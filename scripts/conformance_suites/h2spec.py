"""h2spec against our server: the frames of RFC 7540 and RFC 7541, right and wrong."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import trio

from conformance_suites.interop_server import serving
from conformance_suites.results import Suite, SuiteError, read_junit

NAME: Final = "h2spec"
# A method that takes and gives an empty message, and answers with DATA.
PATH: Final = "/grpc.health.v1.Health/Check"
# How long h2spec waits for each answer, and all in all.
ANSWER_SECONDS: Final = 2
TOTAL_SECONDS: Final = 300.0


async def run_h2spec(program: Path) -> Suite:
    """Run all of its cases, the strict ones too."""
    with TemporaryDirectory(prefix="h2spec-") as folder:
        report = trio.Path(folder, "report.xml")
        async with serving() as port:
            command = [str(program), "--strict", "-p", str(port), "-P", PATH, "-o", str(ANSWER_SECONDS)]
            with trio.move_on_after(TOTAL_SECONDS):
                await trio.run_process([*command, "-j", str(report)], capture_stdout=True, check=False)
        if not await report.exists():
            raise SuiteError("h2spec did not come to its end")
        return Suite(NAME, read_junit(await report.read_text(encoding="utf-8")))
