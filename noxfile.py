"""Sessions for several Pythons: `nox` runs all of them, `nox -s tests` only the tests."""

import shutil

import nox

nox.options.reuse_existing_virtualenvs = True

# The oldest supported one, and the newest that this machine has.
NEWER = ("3.14", "3.13", "3.12")
PYTHONS = ["3.11", *[version for version in NEWER if shutil.which(f"python{version}")][:1]]


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Check style, the direction of imports, and that the generated code is current."""
    session.install("--editable", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")
    session.run("python", "scripts/generate", "--check")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Check types, twice."""
    session.install("--editable", ".[dev]")
    session.run("mypy")
    session.run("pyright")
