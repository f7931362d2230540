"""The files of certificates and keys.

A pair is written whole or not at all, and only its owner may read a key.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from gossipnode.cli.certs.issuing import Authority, AuthorityError, Made, load_authority
from gossipnode.cli.failure import FAILED, WRONG_USE, Failure

AUTHORITY = "ca"
_KEY_MODE = 0o600
_CERTIFICATE_MODE = 0o644


def certificate_path(directory: Path, name: str) -> Path:
    """Where the certificate of this name is kept."""
    return directory / f"{name}.pem"


def key_path(directory: Path, name: str) -> Path:
    """Where its key is kept."""
    return directory / f"{name}.key"


def refuse_existing(directory: Path, name: str, todo: str) -> None:
    """End the command if there is a certificate or a key of this name. `todo` says what to do then."""
    for path in (certificate_path(directory, name), key_path(directory, name)):
        if path.exists():
            raise Failure(f"{path} is there already: {todo}", FAILED)


def read_authority(directory: Path) -> Authority:
    """The CA in this directory, or the end of the command."""
    certificate, key = certificate_path(directory, AUTHORITY), key_path(directory, AUTHORITY)
    texts: list[bytes] = []
    for path in (certificate, key):
        try:
            texts.append(path.read_bytes())
        except FileNotFoundError:
            todo = f"gossipnode certs init --dir {directory} makes a CA"
            raise Failure(f"{path}: no such file: {todo}", WRONG_USE) from None
        except OSError as error:
            raise Failure(f"{path} cannot be read: {error.strerror}", FAILED) from None
    try:
        return load_authority(*texts)
    except AuthorityError as error:
        raise Failure(f"the CA of {certificate} and {key} cannot be used: {error}", FAILED) from None


def write_pair(directory: Path, name: str, made: Made) -> None:
    """Write a certificate and its key. If that fails, what was there before is there still."""
    key, certificate = key_path(directory, name), certificate_path(directory, name)
    written: list[tuple[Path, Path]] = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text, mode in (
            (key, made.key, _KEY_MODE),
            (certificate, made.certificate, _CERTIFICATE_MODE),
        ):
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            written.append((draft, path))
            _write(draft, text, mode)
        for draft, path in written:
            draft.replace(path)
    except OSError as error:
        for draft, _ in written:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
        raise Failure(f"{certificate} and {key} cannot be written: {error.strerror}", FAILED) from None


def _write(path: Path, text: bytes, mode: int) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
