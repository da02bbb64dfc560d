"""A headless Chromium, spoken to in its DevTools protocol over a pair of pipes: no driver, no port, no network."""

import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

PATIENCE = 60.0
"""Seconds to wait for the browser."""


class Browser:
    """One Chromium with a profile of its own; ends with the `with` that it was opened in."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        # Chromium listens on descriptor 3 and answers on 4; a shell puts the pipes there.
        words = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self._process = subprocess.Popen(
            ["bash", "-c", words, "bash", str(CHROMIUM), *QUIET, f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._unread, self._count = b"", 0
        self.events: list[dict[str, Any]] = []
        """All that the browser has said without being asked, in its order."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.ask("Browser.close")
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            self._process.wait()
            os.close(self._read)
            os.close(self._write)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol. RuntimeError with the browser's words where it refuses."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        os.write(self._write, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        for answer in self._messages():
            if answer.get("id") == self._count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)
        raise RuntimeError(f"{method}: no answer from the browser")

    def _messages(self) -> Iterator[dict[str, Any]]:
        while True:
            while b"\0" not in self._unread:
                answers, _, _ = select.select([self._read], [], [], PATIENCE)
                more = os.read(self._read, 1 << 20) if answers else b""
                if not more:
                    return
                self._unread += more
            message, _, self._unread = self._unread.partition(b"\0")
            yield json.loads(message)


DRAWN = """new Promise((done) => {
  const look = () => {
    const figures = [...document.querySelectorAll("figure .drawing")];
    const drawn = figures.every((figure) => figure.querySelector("svg[aria-label]") || figure.textContent);
    document.readyState === "complete" && drawn ? done() : setTimeout(look, 20);
  };
  look();
})"""
"""JavaScript: a promise that is kept when every figure is drawn, or says why it is not."""


class Tab:
    """A tab with a page in it: what the page says on the console is in `said`, what it asks for in `requests`."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.ask(f"{domain}.enable")

    def show(self, width: int, height: int = 900, *, dark: bool = False, media: str = "") -> None:
        """Show the page as on a screen of this size, in a dark or light room, or as it is printed (media "print")."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])
        # Two frames, after which what watches sizes has been told.
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a method of the protocol, asked of this tab."""
        return self._browser.ask(method, self._session, **parameters)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = self.ask("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description", expression))
        return result["result"].get("value")

    def open(self, page: Path) -> None:
        """Open a file and wait until every figure is drawn."""
        self.ask("Page.navigate", url=page.as_uri())
        self.evaluate(DRAWN)

    def events(self, *methods: str) -> list[dict[str, Any]]:
        """What the protocol reported of this tab under these names."""
        mine = [event for event in self._browser.events if event.get("sessionId") == self._session]
        return [event["params"] for event in mine if event["method"] in methods]

    @property
    def said(self) -> list[Any]:
        """All that is on the console: messages, errors, violations of the policy."""
        return self.events("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")

    @property
    def requests(self) -> list[str]:
        """Each address that was asked for, the page's own included."""
        return [event["request"]["url"] for event in self.events("Network.requestWillBeSent")]
