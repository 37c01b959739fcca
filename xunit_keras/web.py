"""The page in `web/`, which restores in the browser, served to this machine alone."""

import errno
import functools
import os
import sys
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HOST = "127.0.0.1"

_BUILT = Path(__file__).resolve().parents[1] / "web" / "dist"
_HEADERS = {
    # Browsers give threads to pages that nothing else can look into.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    # Asked for again each time, and sent only if it has changed.
    "Cache-Control": "no-cache",
}


def find_page() -> Path:
    """The folder of the built page, in the clone that this package runs from.

    Raises:
        FileNotFoundError: It is not built, or this is no clone.
    """
    if (_BUILT / "index.html").is_file():
        return _BUILT
    if (_BUILT.parent / "package.json").is_file():
        raise FileNotFoundError(
            f"The page is not built yet: `make web` in {_BUILT.parents[1]} builds it, "
            "and needs Node.js 20 or newer with npm."
        )
    raise FileNotFoundError(
        "This installation does not hold the page, whose runtime is larger than the "
        "package: `make web` builds it in a clone of the repository, and "
        "`xunit-keras web` there serves it."
    )


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder on loopback, with the headers that give a page threads.

    Args:
        folder: What is served; see `find_page`.
        port: 0 takes any that is free, see `server_port` of the result.

    Returns:
        A server that listens already: `serve_forever()` answers.

    Raises:
        ValueError: There is no such port.
        OSError: The port is taken, or may not be used.
    """
    if not 0 <= port <= 65535:
        raise ValueError(f"`port` must be 0 to 65535. Received: port={port}")
    handler = functools.partial(_Handler, directory=os.fspath(folder))
    try:
        return _Server((HOST, port), handler)
    except OSError as error:
        reasons = {errno.EADDRINUSE: "is in use", errno.EACCES: "may not be used"}
        reason = reasons.get(error.errno or 0)
        if reason is None:
            raise
        raise OSError(
            error.errno,
            f"Port {port} {reason}: choose another with --port, or 0 for any.",
        ) from error


class _Server(ThreadingHTTPServer):
    # On Windows, two servers would share a port.
    allow_reuse_address = os.name != "nt"
    daemon_threads = True

    def handle_error(self, request, client_address):
        # Browsers hang up when a tab is closed.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # What the system says of these differs from machine to machine.
    extensions_map = {  # noqa: RUF012
        ".css": "text/css",
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript",
        ".json": "application/json",
        ".mjs": "text/javascript",
        ".onnx": "application/octet-stream",
        ".png": "image/png",
        ".svg": "image/svg+xml",
        ".txt": "text/plain; charset=utf-8",
        ".wasm": "application/wasm",
    }

    def end_headers(self):
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def list_directory(self, path):
        self.send_error(HTTPStatus.NOT_FOUND)

    def log_message(self, format, *args):
        pass  # The page says what goes wrong.
