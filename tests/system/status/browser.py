"""A headless browser, driven over a pipe by the protocol of its developer tools."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.system.processes import WAIT_SECONDS, eventually

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

LAUNCH = """
import fcntl, os, sys
above = [fcntl.fcntl(int(descriptor), fcntl.F_DUPFD, 10) for descriptor in sys.argv[1:3]]
os.dup2(above[0], 3)
os.dup2(above[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Becomes the browser, which reads descriptor 3 and writes descriptor 4."""


class Browser:
    """One page of a browser. Made by `open_browser`."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._waiting = b""
        self._number = 0
        self._session: str | None = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def call(self, method: str, **parameters: Any) -> Any:
        """Have the browser do something; gives what it answers."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> Any:
        while b"\0" not in self._waiting:
            more = os.read(self._from, 1 << 16)
            assert more, "the browser has ended"
            self._waiting += more
        message, _, self._waiting = self._waiting.partition(b"\0")
        return json.loads(message)

    def show(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Go to a page, in a window of this size and in the light or the dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """The value of an expression in the page. A promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Wait until an expression is true in the page, which may still be loading."""
        asked = f"(() => {{ try {{ return {expression} }} catch {{ return false }} }})()"
        return eventually(lambda: self.value(asked), f"page with {expression}")


@contextmanager
def open_browser(directory: Path) -> Iterator[Browser]:
    """A browser for as long as the block lasts, with a fresh profile below `directory`."""
    assert CHROMIUM is not None
    in_reader, in_writer = os.pipe()
    out_reader, out_writer = os.pipe()
    process = subprocess.Popen(
        [
            sys.executable, "-c", LAUNCH, str(in_reader), str(out_writer), CHROMIUM, "--headless",
            "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={directory / 'profile'}", "--remote-debugging-pipe",
        ],
        pass_fds=(in_reader, out_writer),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(in_reader)
    os.close(out_writer)
    try:
        yield Browser(in_writer, out_reader)
    finally:
        os.close(in_writer)
        os.close(out_reader)
        process.terminate()
        try:
            process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
