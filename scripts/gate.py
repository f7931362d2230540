"""What the gates structure, documents, dead_code and generate have in common."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NoReturn

REPOSITORY = Path(__file__).resolve().parent.parent
SCRIPTS = REPOSITORY / "scripts"
VENV_PYTHON = REPOSITORY / ".venv" / "bin" / "python"


def run_in_venv(script: str, problem: ImportError) -> NoReturn:
    """Run the script again with the Python of .venv, which has what could not be imported."""
    if VENV_PYTHON.exists() and Path(sys.prefix) != REPOSITORY / ".venv":
        os.execv(VENV_PYTHON, [str(VENV_PYTHON), str(SCRIPTS / script), *sys.argv[1:]])
    sys.exit(f"scripts/{script}: {problem}. Install the tools with: pip install -e '.[dev]'")


def print_all(problems: Iterable[str]) -> int:
    """Print problems, one line each; gives the exit code."""
    found = list(problems)
    for problem in found:
        print(problem)
    return 1 if found else 0


def python_scripts(folder: Path) -> Iterator[Path]:
    """Scripts without the suffix `.py` that Python runs."""
    for path in sorted(folder.glob("*")):
        if path.is_file() and not path.suffix and path.read_bytes().startswith(b"#!/usr/bin/env python"):
            yield path


def not_needed(script: str, allowed: Mapping[str, str], needed: Collection[str]) -> Iterator[str]:
    """The entries of a script's ALLOWED that nothing needs."""
    lines = (SCRIPTS / script).read_text(encoding="utf-8").splitlines()
    for name in sorted(allowed.keys() - set(needed)):
        entry = f'"{name}":'
        line = next((number for number, line in enumerate(lines, 1) if line.lstrip().startswith(entry)), 1)
        yield f"scripts/{script}:{line}: nothing needs {name!r} any more: take it out of ALLOWED"
