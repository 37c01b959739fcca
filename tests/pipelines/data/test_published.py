import contextlib
import dataclasses
import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

from pipelines.data import datasets, published

SPLITS = {"train": 2, "val": 1, "test": 3}
INSIDE = "BSR/BSDS500/data/images"


def jpeg(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def tar(members):
    """A compressed tar file of names and contents; a string is where a link leads."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
            else:
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


PHOTOGRAPHS = {
    f"{INSIDE}/{split}/{number}.jpg": jpeg(10 * place + number)
    for place, (split, count) in enumerate(SPLITS.items())
    for number in range(count)
}
OTHERS = {
    "BSR/bench/readme.txt": b"hello",
    f"{INSIDE}/train/Thumbs.db": b"thumbnails",
    f"{INSIDE}/train/folder/9.jpg": b"deeper",
    f"{INSIDE}/train/link.jpg": "/etc/passwd",
    "../../outside/train/0.jpg": b"outside",
    f"{INSIDE}/../../../../train/0.jpg": b"outside",
}


@pytest.fixture
def server(monkeypatch):
    """A server on this machine; `behavior` is how it answers."""

    class Server(http.server.ThreadingHTTPServer):
        content = tar(PHOTOGRAPHS | OTHERS)
        asked = 0

        def behavior(self, handler):
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(self.content)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked += 1
            # Who asked may have been killed.
            with contextlib.suppress(ConnectionError):
                self.server.behavior(self)

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def archive(server, monkeypatch):
    """A small BSDS500, in the place of the published one."""
    archive = published.Archive(
        "BSDS500",
        f"http://127.0.0.1:{server.server_port}/BSR.tgz",
        len(server.content),
        hashlib.sha256(server.content).hexdigest(),
        INSIDE,
        SPLITS,
    )
    for name, entry in datasets.PUBLISHED.items():
        if entry.archive is published.BSDS500:
            replaced = dataclasses.replace(entry, archive=archive)
            monkeypatch.setitem(datasets.PUBLISHED, name, replaced)
    return archive


def everything(folder):
    """What lies in a folder, the names of hidden things too, but for empty folders."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


WHOLE = {f"BSDS500/{name.removeprefix(INSIDE + '/')}" for name in PHOTOGRAPHS}


def test_absent_sets_are_downloaded_into_the_data_root(server, archive, tmp_path):
    root = tmp_path / "new" / "root"
    assert not datasets.is_present("bsds500-train", root)
    loaded = list(datasets.photographs("bsds500-train", root))
    assert [photograph.name for photograph in loaded] == ["0.jpg", "1.jpg"]
    expected = np.asarray(Image.open(io.BytesIO(jpeg(0))))
    np.testing.assert_array_equal(loaded[0].pixels, expected)
    assert len(list(datasets.photographs("bsd100", root))) == SPLITS["val"]
    # One download for all splits, of which the photographs are kept and no more.
    assert server.asked == 1 and everything(root) == WHOLE
    assert everything(tmp_path) == {f"new/root/{name}" for name in WHOLE}


def test_what_lies_there_stays(archive, tmp_path):
    mine = tmp_path / "BSDS500" / "train" / "mine.jpg"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(jpeg(7))
    assert len(datasets.files("bsds500-test", tmp_path)) == SPLITS["test"]
    assert everything(mine.parent) == {"mine.jpg"}


def in_short_pieces(self, handler, size):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(self.content)))
    handler.end_headers()
    handler.wfile.write(self.content[:size])


def short(self, handler):
    in_short_pieces(self, handler, len(self.content) // 2)


def absent(self, handler):
    handler.send_error(404)


def another(self, handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"?" + self.content[1:])


def too_long(self, handler):
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(self.content)
    while True:  # until the other side hangs up
        handler.wfile.write(bytes(2**20))


@pytest.mark.parametrize(
    ("behavior", "reason"),
    [
        (short, r"only [\d,]+ of [\d,]+ bytes came"),
        (absent, "404"),
        (another, "not the published one"),
        (too_long, "not the published one"),
    ],
)
def test_a_download_that_fails(server, archive, tmp_path, behavior, reason):
    server.behavior = behavior.__get__(server)
    with pytest.raises(ValueError, match=reason) as error:
        datasets.photographs("bsds500-train", tmp_path)
    message = str(error.value)
    assert str(tmp_path / "BSDS500") in message and archive.url in message
    assert "\n" not in message and "--data-root" in message
    assert everything(tmp_path) == set()
    assert not datasets.is_present("bsds500-train", tmp_path)
    # The next try begins anew.
    del server.behavior
    assert len(datasets.files("bsds500-train", tmp_path)) == SPLITS["train"]


def test_no_network(archive, tmp_path):
    with http.server.HTTPServer(("127.0.0.1", 0), None) as nobody:
        port = nobody.server_port
    there = dataclasses.replace(archive, url=f"http://127.0.0.1:{port}/BSR.tgz")
    with pytest.raises(ValueError, match=r"cannot be downloaded .* by hand"):
        there.fetch(tmp_path / "root" / "BSDS500")
    assert list(tmp_path.iterdir()) == []


def test_photographs_that_are_missing_from_the_archive(archive, tmp_path):
    more = dataclasses.replace(archive, splits={**SPLITS, "val": 2})
    with pytest.raises(ValueError, match="1 photographs of val, not 2"):
        more.fetch(tmp_path)
    assert everything(tmp_path) == set()


def test_a_kill_leaves_nothing_that_is_taken_for_whole(server, archive, tmp_path):
    """Killed in the middle of the download, and run once more."""

    def hang(handler):
        short(server, handler)
        handler.wfile.flush()
        time.sleep(20)

    server.behavior = hang
    code = (
        "import pathlib; from pipelines.data.published import Archive; "
        f"Archive{dataclasses.astuple(archive)}.fetch(pathlib.Path({str(tmp_path)!r}))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        until = time.monotonic() + 60
        while not everything(tmp_path) and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    assert everything(tmp_path)  # What it had begun; hidden.
    assert not any((tmp_path / split).exists() for split in SPLITS)
    del server.behavior
    archive.fetch(tmp_path)
    assert {f"{split}/0.jpg" for split in SPLITS} < everything(tmp_path)


def test_the_published_archive():
    bsds500 = published.BSDS500
    assert bsds500.url.startswith("https://")
    assert sum(bsds500.splits.values()) == 500
    for entry in datasets.PUBLISHED.values():
        if entry.archive:
            split = entry.folder.partition("/")[2]
            assert entry.folder.startswith("BSDS500/") and split in bsds500.splits
