"""Sessions for several Pythons: `nox` runs all of them, `nox -s tests` only the tests."""

import shutil

import nox

nox.options.reuse_existing_virtualenvs = True

# The oldest supported one, and the newest that this machine has.
NEWER = ("3.14", "3.13", "3.12")
PYTHONS = ["3.11", *[version for version in NEWER if shutil.which(f"python{version}")][:1]]

# As scripts/test shares them. `nox -s tests -- -n 0` uses one process.
SHARED = ("--numprocesses", "auto", "--maxprocesses", "4", "--dist", "worksteal")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests."""
    session.install("--editable", ".[dev]")
    session.run("python", "-m", "pytest", *SHARED, *session.posargs)


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """Check everything that can be checked without running the program, in the environment of scripts/."""
    session.run("scripts/check", *session.posargs)
