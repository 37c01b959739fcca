"""The page, built and served."""

import shutil
import subprocess
from pathlib import Path

import browsing
import pytest

from xunit_keras import web

WEB = Path(__file__).resolve().parents[2] / "web"


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The folder of the page, built anew."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is missing: the page cannot be built.")
    installed = WEB / "node_modules" / ".package-lock.json"
    lock = WEB / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        subprocess.run(command, cwd=WEB, check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("page")
    command = [npm, "run", "--silent", "build", "--", folder]
    subprocess.run(command, cwd=WEB, check=True)
    return folder


@pytest.fixture(scope="session")
def playwright():
    """What drives browsers."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing.")
    with api.sync_playwright() as one:
        yield one


@pytest.fixture(scope="session")
def browser(playwright):
    """Chromium; a test that needs other flags starts its own."""
    one = browsing.chromium(playwright)
    yield one
    one.close()


@pytest.fixture(scope="session")
def site(built):
    """The page as `xunit-keras web` serves it."""
    with browsing.served(web.server(built, 0)) as url:
        yield url


@pytest.fixture
def page(browser, site):
    """A tab with the page."""
    with browsing.tab(browser, site) as one:
        yield one
