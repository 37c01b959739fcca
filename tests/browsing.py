"""A browser, servers, and pictures to put into pages."""

import base64
import contextlib
import functools
import http.server
import io
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)


def chromium(playwright, *flags: str):
    """A headless browser, which skips a test where there is none."""
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: the page cannot be opened.")
    # Where tests run as root there is no sandbox.
    return playwright.chromium.launch(
        executable_path=CHROMIUM, args=list(flags), chromium_sandbox=False
    )


def wait_until(page, expression: str, seconds: float = 60) -> None:
    """Waits for a condition; Playwright's own way is against the page's policy."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"Not in {seconds} s: {expression}"
        page.wait_for_timeout(50)


def wait_for_text(page, selector: str, part: str) -> None:
    """Waits until an element shows a text."""
    page.locator(selector, has_text=part).wait_for(timeout=60_000)


@contextlib.contextmanager
def tab(browser, url: str, **options) -> Iterator:
    """A page that is ready; it must raise no error and ask no other host."""
    context = browser.new_context(**options)
    asked, errors = [], []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.wait_for_selector("#machine:not(:empty)")
    yield page
    context.close()
    assert errors == []
    assert [one for one in asked if not one.startswith((url, "blob:", "data:"))] == []


@contextlib.contextmanager
def served(server: http.server.HTTPServer) -> Iterator[str]:
    """The address of a server while it runs."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Plain(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def plain_server(folder: Path) -> http.server.HTTPServer:
    """A static host that sends no headers of its own."""
    handler = functools.partial(_Plain, directory=str(folder))
    return http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)


def picture(pixels: np.ndarray, name: str = "photo.png", **options) -> dict:
    """A file as Playwright puts it into an input."""
    content = io.BytesIO()
    suffix = name.rsplit(".")[-1].replace("jpg", "jpeg")
    Image.fromarray(pixels).save(content, suffix, **options)
    return file(name, content.getvalue(), f"image/{suffix}")


def file(name: str, content: bytes, kind: str = "image/png") -> dict:
    """As `picture`, with any content."""
    return {"name": name, "mimeType": kind, "buffer": content}


def text(pixels: np.ndarray) -> str:
    """An array for JavaScript."""
    return base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()
