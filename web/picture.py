"""Makes `docs/web.png`: the page with its example.

    make web
    python web/picture.py

Needs the extra `dev` and Chromium.
"""

import io
import shutil
import threading
from pathlib import Path

from PIL import Image

from xunit_keras import web
from xunit_keras.packages import require

SIZE = {"width": 980, "height": 600}


def main() -> None:
    """Writes the picture."""
    api = require("playwright.sync_api", "dev")
    server = web.server(web.find_page(), 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), chromium_sandbox=False
        )
        page = browser.new_page(viewport=SIZE)
        page.goto(f"http://{web.HOST}:{server.server_port}/")
        page.click("#example")
        page.wait_for_selector("#png:enabled", timeout=120_000)
        page.wait_for_timeout(500)  # Until it is drawn.
        shot = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    server.shutdown()
    path = Path(__file__).parents[1] / "docs" / "web.png"
    shot.convert("RGB").quantize(256).save(path, optimize=True)


if __name__ == "__main__":
    main()
