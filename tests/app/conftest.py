"""A served playground, and pages of a headless Chromium that check themselves for errors and for outside requests."""

import re
import signal
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from browser import launched
from playwright.sync_api import expect

INTERRUPTED = 130


def heed_interrupts():
    """Let SIGINT end a process: started by a command that a shell runs in the background, it would be ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def address():
    """The address of a playground that `inputopt app` serves until the tests end."""
    command = [sys.executable, "-m", "inputopt", "app", "--port", "0"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, preexec_fn=heed_interrupts) as served:
        line = served.stdout.readline()
        yield re.search(r"http://127\.0\.0\.1:\d+/", line)[0]
        served.send_signal(signal.SIGINT)
        try:
            _, errors = served.communicate(timeout=20)
        finally:
            served.kill()  # if it did not end
    assert served.returncode == INTERRUPTED
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture
def open_page(chromium, address):
    """Opens the playground in a new session; after the test, no page may have logged an error or left 127.0.0.1."""
    contexts, wrong = [], []

    def note(message):
        if message.type == "error":
            wrong.append(message.text)

    def local(request):
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and url.hostname != "127.0.0.1":
            wrong.append(request.url)

    def opened(width=1280, height=900, scheme="light"):
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        expect.set_options(timeout=60_000)  # a training of 5,000 updates, on a machine that runs other tests
        page.on("console", note)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", local)
        page.goto(address)
        page.wait_for_selector("#learn-network svg")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert wrong == []
