"""`xunit-keras web`: the page, served to this machine alone."""

import http.client
import re
import signal
import socket
import subprocess
import sys

import browsing
import pytest

from xunit_keras import web
from xunit_keras.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A clone whose page is built."""
    built = tmp_path / "web" / "dist"
    (built / "ort").mkdir(parents=True)
    (built / "index.html").write_text("<title>page</title>")
    (built / "ort" / "ort.mjs").write_text("export {};")
    (built / "ort" / "ort.wasm").write_bytes(b"\0asm")
    monkeypatch.setattr(web, "_BUILT", built)
    return built


def get(url, path):
    connection = http.client.HTTPConnection(url.split("/")[2])
    connection.request("GET", path)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_served_with_what_threads_need(folder):
    with browsing.served(web.server(web.find_page(), 0)) as url:
        assert url.startswith("http://127.0.0.1:")
        types = {
            "/": "text/html; charset=utf-8",
            "/ort/ort.mjs": "text/javascript",
            "/ort/ort.wasm": "application/wasm",
        }
        for path, kind in types.items():
            response, content = get(url, path)
            assert response.status == 200 and content
            assert response.headers["Content-Type"] == kind
            assert response.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert response.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        for path in ("/ort/", "/absent", "/../../pyproject.toml", "/%2e%2e/secret"):
            assert get(url, path)[0].status == 404


def test_only_loopback_is_listened_on(folder):
    server = web.server(folder, 0)
    assert server.socket.getsockname()[0] == "127.0.0.1"
    server.server_close()


def test_errors_are_sentences(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["web", "--port", str(port)]) == 2
    told = capsys.readouterr().err
    assert f"Port {port} is in use: choose another with --port" in told
    assert main(["web", "--port", "70000"]) == 2
    assert "0 to 65535. Received: port=70000" in capsys.readouterr().err
    (folder / "index.html").unlink()
    assert main(["web"]) == 2
    assert "make web" in capsys.readouterr().err
    (folder.parent / "package.json").write_text("{}")
    assert main(["web"]) == 2
    assert "not built yet" in capsys.readouterr().err


def test_ctrl_c_ends_it_cleanly(folder):
    code = f"""
import pathlib, sys
from xunit_keras import web
web._BUILT = pathlib.Path({str(folder)!r})
sys.argv[1:] = ["web", "--port", "0"]
from xunit_keras.__main__ import main
sys.exit(main())
"""
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    (url,) = re.findall(r"http://127\.0\.0\.1:\d+/", line)
    assert get(url, "/")[1] == b"<title>page</title>"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")
