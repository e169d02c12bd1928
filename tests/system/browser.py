# SPDX-License-Identifier: MIT
"""What the tests of the page share: a real browser, Debian's chromium, driven by its chromium-driver and selenium."""

import functools
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from testing import *

DRIVER = "/usr/bin/chromedriver"
# What the page does is noted from its first line on: its WebSockets and their ends, and what the policy forbade. While
# window.held is true, a WebSocket leads nowhere, so a page that should come back comes when the test wants it to.
SPY = """
  window.spied = { opened: [], closed: 0, forbidden: [], errors: [] };
  window.held = false;
  const Real = WebSocket;
  window.WebSocket = class extends Real {
    constructor(url, protocols) {
      super(window.held ? String(url).replace("/ws", "/nowhere") : url, protocols);
      spied.opened.push(String(url));
      window.newest = this;
      this.addEventListener("close", () => spied.closed++);
    }
  };
  document.addEventListener("securitypolicyviolation", (e) => spied.forbidden.push(e.violatedDirective + " " + e.blockedURI));
  addEventListener("error", (e) => spied.errors.push(String(e.message)));
  addEventListener("unhandledrejection", (e) => spied.errors.push(String(e.reason)));
"""
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}


def selenium():
    """Debian's, also for another python3 than Debian's, since it is plain Python."""
    try:
        import selenium.webdriver
    except ImportError:
        sys.path.append("/usr/lib/python3/dist-packages")
        try:
            import selenium.webdriver
        except ImportError:
            raise Skip("python3-selenium is not installed")
    return selenium


def processes_of(folder):
    """Those that chromium was started as there. Who looks for its driver's children misses one whose driver is gone."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                if b"--user-data-dir=" + folder.encode() in f.read().split(b"\0"):
                    found.append(int(path.split("/")[2]))
        except OSError:
            pass
    return found


class Browser:
    """One person's browser with one page in it."""

    running = []

    def __init__(self, url, nick=None, phone=False, dark=False, size=(1200, 800)):
        need("chromium", DRIVER)
        webdriver = selenium().webdriver
        from selenium.webdriver.remote.remote_connection import RemoteConnection
        # Its driver is on this machine.
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"
        Browser.running.append(self)
        self.dir = self.driver = None
        # On a busy machine chromium hangs at its start now and then, or right behind it, before it has seen anything of chatd.
        RemoteConnection.set_timeout(PATIENCE / 2)
        for attempt in range(3):
            try:
                self.begin(webdriver, size)
                self.cdp("Page.addScriptToEvaluateOnNewDocument", source=SPY)
                break
            except Exception as e:
                note("chromium didn't start: %s" % str(e)[:200])
                self.end()
        else:
            raise Failure("chromium doesn't start")
        RemoteConnection.set_timeout(2 * PATIENCE)
        self.driver.set_page_load_timeout(PATIENCE)
        self.driver.set_script_timeout(PATIENCE)
        if nick:  # as if it had been here before
            self.cdp("Page.addScriptToEvaluateOnNewDocument",
                     source="sessionStorage.getItem('chatd-nick') ?? sessionStorage.setItem('chatd-nick', '\"%s\"')" % nick)
        if phone:
            self.cdp("Emulation.setDeviceMetricsOverride", **PHONE)
            self.cdp("Emulation.setTouchEmulationEnabled", enabled=True)
        if dark:
            self.dark(True)
        self.driver.get(url)

    def begin(self, webdriver, size):
        from selenium.webdriver.chrome.service import Service
        self.dir = tempfile.mkdtemp(prefix="chatd-browser-")
        options = webdriver.ChromeOptions()
        for argument in ("--headless=new", "--user-data-dir=" + self.dir, "--no-proxy-server", "--no-first-run", "--disable-gpu",
                         "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--lang=en-GB",
                         "--window-size=%d,%d" % size):
            options.add_argument(argument)
        if os.getuid() == 0:
            options.add_argument("--no-sandbox")
        options.accept_insecure_certs = True  # a test's certificate is known to nobody
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.service = Service(DRIVER)
        self.driver = webdriver.Chrome(service=self.service, options=options)

    def cdp(self, method, **parameters):
        return self.driver.execute_cdp_cmd(method, parameters)

    def dark(self, on):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def js(self, script, *args):
        return self.driver.execute_script(script, *args)

    def __getitem__(self, selector):
        return self.driver.find_element("css selector", selector)

    def text(self, selector):
        return self.js("return document.querySelector(arguments[0])?.textContent ?? ''", selector)

    def keys(self, *keys):
        """To whatever has the focus."""
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.driver).send_keys(*keys).perform()

    def with_shift(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys
        ActionChains(self.driver).key_down(Keys.SHIFT).send_keys(*keys).key_up(Keys.SHIFT).perform()

    def write(self, text):
        """Into the message field, as one writes."""
        self["#entry"].click()
        self.keys(text)

    def say(self, text):
        self.write(text + "\n")

    def paste(self, text):
        self["#entry"].click()
        self.cdp("Input.insertText", text=text)

    # --- what is shown ---

    def shown(self, kind=""):
        """What the lines of that class say, in their order."""
        return self.js("return [...document.querySelectorAll('#lines .line' + arguments[0])]"
                       ".map((e) => e.querySelector('.what').textContent)", kind)

    def wait_shown(self, text, times=1):
        """Till a line says that; it does so no more often than it should."""
        wait_for(lambda: self.shown().count(text) >= times, what="%r in %r" % (text, self.shown()[-30:]))
        equal(self.shown().count(text), times)

    def wait_text(self, selector, text):
        wait_for(lambda: text in self.text(selector), what="%r in %s, which is %r" % (text, selector, self.text(selector)))

    def wait_connected(self):
        self.wait_text("#state", "Connected")

    def people(self):
        return self.js("return [...document.querySelectorAll('#people .nick')].map((e) => e.textContent)")

    def rooms(self):
        """name -> whether it has an unread mark"""
        return dict(self.js("return [...document.querySelectorAll('#rooms button')].map((b) =>"
                            " [b.firstChild.textContent, b.classList.contains('unread')])"))

    def spied(self):
        return self.js("return spied")

    # --- its end ---

    def complaints(self):
        """What it wrote to its console as warnings and errors."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] in ("WARNING", "SEVERE")]

    def finish(self, expected=()):
        """Nothing went wrong in it but what was expected (parts of the console's messages)."""
        spied = self.spied()
        equal((spied["forbidden"], spied["errors"]), ([], []))
        equal([c for c in self.complaints() if not any(e in c for e in expected)], [])
        self.close()

    def close(self):
        Browser.running.remove(self)
        self.end()

    def end(self):
        """No process of it stays, and nothing on the disk."""
        process = getattr(getattr(self, "service", None), "process", None)
        try:
            if self.driver:
                self.driver.quit()
        except Exception as e:  # it may be gone, or hang
            note("a browser's end: %s" % e)
        if process and process.poll() is None:
            process.kill()
            process.wait()

        def gone():
            left = processes_of(self.dir)
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not left
        if self.dir:
            wait_for(gone, what="the end of the browser's processes")
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)
        self.dir = self.driver = self.service = None


def page_test(function):
    """A test with browsers: none of them stays, and it ends within a few minutes, whatever hangs."""
    @functools.wraps(function)
    def bounded():
        def late(number, frame):
            raise Failure("the browser took too long")
        before = signal.signal(signal.SIGALRM, late)
        signal.alarm(240)
        try:
            function()
            for b in list(Browser.running):
                b.finish()
        except Exception:
            for b in Browser.running:
                try:
                    note("page: state %r, hint %r, lines %r, console %r, %r" % (
                        b.text("#state"), b.text("#hint"), b.shown()[-15:], b.complaints(), b.spied()))
                except Exception as e:
                    note("page: %s" % e)
            raise
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
            for b in list(Browser.running):
                b.close()
    return test(bounded)
