"""A headless Chromium driven over the DevTools protocol's pipe: what the pages are tested in.

Nothing is installed and no port is opened; a test that asks for `CHROMIUM` skips where there is none.
"""

import fcntl
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WHY_NOT = "no chromium on the path (Debian: apt-get install chromium)"
WAIT_S = 60.0
OPTIONS = ("--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions")


class Browser:
    """One browser with an empty profile in ``folder``, where downloads go too; close it with ``with``."""

    def __init__(self, folder: Path):
        self.folder, self.number, self.events = Path(folder), 0, []
        ours, theirs = os.pipe(), os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (ours[0], theirs[1])]

        def place() -> None:  # the protocol's ends are 3 and 4
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder}/profile", "--remote-debugging-pipe"]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "stdin": subprocess.DEVNULL}
        self.process = subprocess.Popen([*command, "about:blank"], preexec_fn=place, close_fds=False, **quiet)
        for end in (*high, ours[0], theirs[1]):
            os.close(end)
        self.output, self.input = os.fdopen(ours[1], "wb", buffering=0), os.fdopen(theirs[0], "rb")
        self.inbox: queue.Queue = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.call(f"{domain}.enable")
        self.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(self.folder))

    def _read(self) -> None:
        rest = b""
        while chunk := self.input.read1(65536):
            *messages, rest = (rest + chunk).split(b"\0")
            for message in messages:
                self.inbox.put(json.loads(message))

    def call(self, method: str, **parameters) -> dict:
        """A command's result; events that come meanwhile are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        self.output.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self.inbox.get(timeout=WAIT_S)
            if answer.get("id") == self.number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.events.append(answer)

    def open(self, page: Path) -> None:
        """Load a file and wait until it has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=page.resolve().as_uri())
        self.until(lambda: self.happened("Page.loadEventFired"))

    def reload(self) -> bool:
        """Load the page again; whether it asked first, which is answered with yes."""
        self.js("0")
        self.events.clear()
        self.number += 1  # the answer comes after the question
        self.output.write(json.dumps({"id": self.number, "method": "Page.reload", "sessionId": self.session}).encode())
        self.output.write(b"\0")
        while not self.happened("Page.loadEventFired"):
            self.events.append(self.inbox.get(timeout=WAIT_S))
            if self.events[-1].get("method") == "Page.javascriptDialogOpening":
                self.call("Page.handleJavaScriptDialog", accept=True)
        return bool(self.happened("Page.javascriptDialogOpening"))

    def until(self, condition) -> None:
        """Wait for a condition, taking in what the browser says."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, "the browser did not get there"
            with suppress(AssertionError):  # a page that sends on to another is gone when it is asked
                self.js("0")
            time.sleep(0.05)

    def js(self, expression: str):
        """The value of an expression on the page."""
        got = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in got, got["exceptionDetails"]
        return got["result"].get("value")

    def press(self, *keys: str) -> None:
        """Keys as a user presses them, by their DOM names."""
        for key in keys:
            text = {"text": key} if len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def happened(self, method: str) -> list[dict]:
        """Parameters of the events of one kind since the page was opened."""
        return [e["params"] for e in self.events if e.get("method") == method]

    def __enter__(self):
        return self

    def __exit__(self, *error) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.output.close()
