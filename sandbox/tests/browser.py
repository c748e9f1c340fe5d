"""A browser without a window, spoken to in the DevTools protocol over two pipes (https://chromedevtools.github.io)."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType

COMMAND = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
"""The browser that is installed here; None = there is none."""

SETTLED = """new Promise((resolve, reject) => {
  const until = Date.now() + 20000;
  (function look() {
    try { if (%s) return resolve(true); } catch (error) { }
    if (Date.now() > until) return reject(new Error("never came true"));
    requestAnimationFrame(look);
  })();
})"""


def high_pipe() -> list[int]:
    """Open a pipe, reading end first, of numbers that the browser's own, 3 and 4, do not overwrite."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends


class Browser:
    """A browser, started for its user; what it does, it does in the tab opened last."""

    def __init__(self, profile_folder: str) -> None:
        reading, their_writing = high_pipe()
        their_reading, writing = high_pipe()
        command = [
            "bash", "-c", f'exec "$@" 3<&{their_reading} 4>&{their_writing}', "bash", str(COMMAND),
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage",
            "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe",
            f"--user-data-dir={profile_folder}", "about:blank",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, pass_fds=(their_reading, their_writing), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_reading)
        os.close(their_writing)
        self._out, self._in = os.fdopen(writing, "wb", 0), os.fdopen(reading, "rb", 0)
        self._number, self._rest = 0, b""
        self._session: str | None = None
        self.open()

    def open(self) -> None:
        """Open a new tab, without a history, and take that from now on."""
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._out.close()  # the browser ends with its pipe
        self._in.close()
        self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call one method of the protocol, and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = self._in.read(1 << 20)
            if not chunk:
                raise RuntimeError("the browser has ended")
            self._rest += chunk
        line, self._rest = self._rest.split(b"\0", 1)
        return json.loads(line)

    def look(self, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Take the size and the colours of a device."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def visit(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def run(self, expression: str) -> Any:
        """Evaluate an expression of JavaScript in the page; a promise is waited for."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true; an error while it is evaluated counts as not yet."""
        self.run(SETTLED % condition)

    def screenshot(self) -> bytes:
        """Draw the page as PNG, down to its end."""
        return base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"])
