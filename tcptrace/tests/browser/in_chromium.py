"""Opens a page in headless Chromium as the JSON on stdin says; prints what came of it as JSON.

In: `url`, `scripts` (whether they may run), `scheme` (`light` or `dark`), `size`, and `steps`, each an
object with one of `evaluate` (JavaScript), `click` (JavaScript that gives an element), `type` (text),
`screenshot` and `pdf` (a path). Out: `values` (one a step), `said` (console, exceptions, dialogs), `asked`
(every address that anything was to be fetched from) and `loaded` (seconds until the page was complete).

It speaks the DevTools protocol over two pipes: JSON with a zero byte after each message.
"""

import base64
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time

DEADLINE = time.monotonic() + 120
FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    # There is no room for one where this is root or in a container. The pages are the test's own.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
]


class Browser:
    def __init__(self, profile):
        # It reads from descriptor 3 and writes to 4.
        pairs = os.pipe() + os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in pairs]
        for end in pairs:
            os.close(end)
        os.dup2(ends[0], 3)
        os.dup2(ends[3], 4)
        command = ["chromium", f"--user-data-dir={profile}", *FLAGS]
        errors = open(os.path.join(profile, "errors"), "wb")
        self.process = subprocess.Popen(
            command,
            pass_fds=(3, 4),
            # A group of its own, which ends with it.
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
        )
        for end in (3, 4, ends[0], ends[3]):
            os.close(end)
        self.to, self.answers = ends[1], ends[2]
        self.rest, self.number, self.session = b"", 0, None
        self.said, self.asked, self.events = [], [], set()

    def receive(self):
        while b"\0" not in self.rest:
            left = DEADLINE - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise TimeoutError("Chromium does not answer")
            read = os.read(self.answers, 1 << 20)
            if not read:
                raise EOFError("Chromium has ended")
            self.rest += read
        message, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(message)
        self.note(message.get("method"), message.get("params"))
        return message

    def note(self, method, event):
        if method == "Network.requestWillBeSent":
            self.asked.append(event["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.said.append(event["type"] + ": " + json.dumps(event["args"]))
        elif method == "Runtime.exceptionThrown":
            self.said.append(json.dumps(event["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.said.append(event["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.said.append("dialog: " + event["message"])
            self.send("Page.handleJavaScriptDialog", accept=True)
        elif method:
            self.events.add(method)

    def send(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        message = json.dumps(message).encode() + b"\0"
        while message:
            message = message[os.write(self.to, message) :]
        return self.number

    def call(self, method, **parameters):
        number = self.send(method, **parameters)
        while True:
            message = self.receive()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]

    def wait(self, event):
        while event not in self.events:
            self.receive()

    def evaluate(self, expression):
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def click(self, element):
        place = self.evaluate(
            f"(element => {{ element.scrollIntoView({{block: 'center'}});"
            " const box = element.getBoundingClientRect();"
            f" return [box.x + box.width / 2, box.y + box.height / 2]; }})({element})"
        )
        for kind in ("mousePressed", "mouseReleased"):
            x, y = place
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def save(self, path, method, **parameters):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call(method, **parameters)["data"]))

    def step(self, step):
        ((what, how),) = step.items()
        if what == "evaluate":
            return self.evaluate(how)
        if what == "click":
            return self.click(how)
        if what == "type":
            self.call("Input.insertText", text=how)
            return None
        if what == "screenshot":
            return self.save(how, "Page.captureScreenshot", captureBeyondViewport=True)
        if what == "pdf":
            return self.save(how, "Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        raise ValueError(what)

    def open(self, page):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = page["size"]
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": page["scheme"]}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not page["scripts"])
        # The empty page has been loaded as well.
        self.asked.clear()
        self.events.clear()
        began = time.monotonic()
        self.call("Page.navigate", url=page["url"])
        self.wait("Page.loadEventFired")
        # What was drawn first is on the screen.
        self.call("Page.captureScreenshot", clip=dict(x=0, y=0, width=1, height=1, scale=1))
        return time.monotonic() - began


def main():
    page = json.load(sys.stdin)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(profile)
        try:
            loaded = browser.open(page)
            values = [browser.step(step) for step in page["steps"]]
            answer = dict(values=values, said=browser.said, asked=browser.asked, loaded=loaded)
            json.dump(answer, sys.stdout)
        except Exception:
            with open(os.path.join(profile, "errors"), errors="replace") as errors:
                sys.stderr.write(errors.read())
            raise
        finally:
            os.killpg(browser.process.pid, signal.SIGKILL)
            browser.process.wait()


main()
