"""The page, in a browser: from a file to the download."""

import contextlib
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path

import browsing
import numpy as np
import pytest
from browsing import file, picture, wait_for_text, wait_until
from PIL import Image

import xunit_keras
from xunit_keras import restoration
from xunit_keras.restorer import Restorer

DOCS = Path(__file__).resolve().parents[2] / "docs"


def smooth(height, width, channels=3):
    y, x = np.mgrid[:height, :width][..., None]
    waves = 127 + 90 * np.sin(x / 9 + np.arange(channels)) * np.cos(y / 7)
    return waves.astype(np.uint8)


def choose(page, *files, **settings):
    """Puts files into the page and waits until it knows what they cost."""
    for name, value in settings.items():
        page.select_option(f"#{name}", value)
    page.set_input_files("#files", files)
    page.wait_for_selector("#estimate:not(:empty)")


def restored(page, button="#png"):
    """Restores, and gives name and pixels of the download."""
    page.click("#start")
    page.wait_for_selector("#png:enabled", timeout=60_000)
    return downloaded(page, button)


def downloaded(page, button):
    with page.expect_download() as event:
        page.click(button)
    content = Path(event.value.path()).read_bytes()
    return event.value.suggested_filename, Image.open(BytesIO(content))


def states(page):
    return page.locator("#list .state").all_inner_texts()


def assert_near(image, expected, mode):
    assert image.mode == mode
    difference = np.abs(np.asarray(image).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() < 2e-3


def test_a_photograph_is_enlarged(page):
    pixels = smooth(60, 80)
    choose(
        page, picture(pixels, "A photo.png"), task="sr", scale="3", model="xsrcnn-f-x3"
    )
    wait_for_text(page, "#estimate", "with xsrcnn-f-x3 (chosen by you)")
    assert "4,800 pixels to 43,200 pixels" in page.inner_text("#estimate")
    assert "less than a second" in page.inner_text("#estimate")
    name, image = restored(page)
    assert name == "A photo-x3.png"
    assert_near(image, xunit_keras.restore(pixels, "xsrcnn-f-x3"), "RGB")
    assert "240 × 180 pixels with xsrcnn-f-x3" in page.inner_text("#about")
    name, image = downloaded(page, "#jpeg")
    assert name == "A photo-x3.jpg" and image.format == "JPEG"
    assert image.size == (240, 180)


def test_the_example_is_one_click(page):
    page.click("#example")
    page.wait_for_selector("#png:enabled", timeout=60_000)
    assert "xdncnn-color-blind (noise of sigma 2" in page.inner_text("#about")
    assert page.is_visible("#before") and page.is_visible("#after")


def test_dropped_and_pasted(page):
    give = """([name, numbers]) => {
      const data = new DataTransfer();
      const kind = { type: "image/png" };
      data.items.add(new File([Uint8Array.from(numbers)], `${name}.png`, kind));
      const options = { bubbles: true, cancelable: true };
      document.body.dispatchEvent(name === "drop"
        ? new DragEvent("drop", { ...options, dataTransfer: data })
        : new ClipboardEvent("paste", { ...options, clipboardData: data }));
    }"""
    numbers = list(picture(smooth(20, 30))["buffer"])
    for number, name in enumerate(("drop", "paste")):
        page.evaluate(give, [name, numbers])
        page.locator("#list li").nth(number).wait_for()
    wait_for_text(page, "#start", "2")
    assert page.locator("#list .name").all_inner_texts() == ["drop.png", "paste.png"]


def test_transparency_and_gray_are_kept(page):
    y, x = np.mgrid[:40, :50]
    alpha = np.clip(300 - 16 * np.hypot(y - 20, x - 22), 0, 255).astype(np.uint8)
    logo = np.dstack([smooth(40, 50), alpha])
    logo[alpha == 0] = 0
    choose(page, picture(logo, "logo.png"), task="sr", scale="2")
    _, image = restored(page)
    assert image.mode == "RGBA" and image.size == (100, 80)
    model = page.inner_text("#about").split(" with ")[1].split()[0]
    route = Restorer(restoration.open_network, model).route(logo[..., :3])
    expected = np.dstack(route.whole(logo[..., :3], alpha))
    seen = expected[..., 3] > 0
    difference = np.abs(np.asarray(image).astype(int) - expected)
    assert difference[..., 3].max() <= 1
    assert difference[seen].max() <= 1
    # JPEG has no transparency: it lies on white.
    _, flat = downloaded(page, "#jpeg")
    assert min(flat.getpixel((0, 0))) > 250

    gray = smooth(40, 50, 1)[..., 0]
    page.click("#list li >> nth=0 >> [aria-label^=Remove]")
    choose(page, picture(gray), scale="2")
    _, image = restored(page)
    assert image.mode == "L"


def test_orientation_is_applied(page):
    exif = Image.Exif()
    exif[274] = 6  # To be turned by a quarter.
    pixels = smooth(24, 48)
    choose(page, picture(pixels, "turned.jpg", exif=exif, quality=100), task="derain")
    assert states(page)[0].startswith("24 × 48")
    _, image = restored(page)
    assert image.size == (24, 48)
    assert image.getexif().get(274) is None


def test_several_and_what_cannot_be_read(page):
    whole = picture(smooth(50, 60), "cut.png")["buffer"]
    page.set_input_files(
        "#files",
        [
            picture(smooth(20, 30), "one.png"),
            file("text.png", b"This is no picture."),
            file("cut.png", whole[:60]),
            picture(smooth(30, 20), "two.webp", lossless=True),
        ],
    )
    page.select_option("#task", "sr")
    # The size of the cut one may be known before it is found that pixels are missing.
    page.locator("#list .problem").nth(1).wait_for(timeout=60_000)
    wait_for_text(page, "#start", "2")
    page.click("#start")
    page.wait_for_selector("#all:not([hidden])", timeout=60_000)
    wait_for_text(page, "#status", "2 of")
    one, no_picture, cut, two = states(page)
    assert one == "30 × 20, restored" and two == "20 × 30, restored"
    for problem in (no_picture, cut):
        assert "damaged" in problem
    assert page.inner_text("#status") == "2 of 2 restored."
    downloads = []
    page.on("download", lambda one: downloads.append(one.suggested_filename))
    page.click("#all")
    page.wait_for_timeout(500)
    assert sorted(downloads) == ["one-x2.png", "two-x2.png"]


def claimed(width, height):
    """A small PNG file that says that it is large."""

    def chunk(name, content):
        body = name + content
        return (
            struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_what_is_too_large_is_refused_before_it_is_read(page):
    page.set_input_files("#files", [file("huge.png", claimed(20_000, 16_000))])
    page.wait_for_selector("#list .problem")
    assert states(page) == [
        "It would have 20000 × 16000 pixels (320 megapixels), more than a browser can "
        "show: choose a smaller one."
    ]
    assert page.is_disabled("#start")
    page.select_option("#task", "sr")
    page.select_option("#scale", "4")
    (state,) = states(page)
    assert state.startswith("Enlarged 4 times, it would have 80000 × 64000 pixels")
    assert state.endswith("choose a smaller scale, or a smaller picture.")


def test_cancel_and_again(page):
    choose(page, picture(smooth(400, 400)), task="denoise", model="xdncnn-color-blind")
    page.click("#start")
    page.wait_for_selector("#cancel:not([hidden])")
    wait_for_text(page, "#remaining", "left")
    assert page.is_disabled("#task")
    assert "%" in page.title()
    page.click("#cancel")
    page.wait_for_selector("#cancel", state="hidden")
    assert page.inner_text("#status").startswith("Canceled")
    assert page.title() == "xunit-keras"
    assert "canceled" in states(page)[0]
    # What runs next runs in a new worker.
    page.click("#list [aria-label^=Remove]")
    choose(page, picture(smooth(30, 40)))
    restored(page)


def test_keyboard_and_names(page):
    choose(page, picture(smooth(20, 30)), task="sr")
    restored(page)
    divider = page.get_by_role("slider", name="Divider between before and after")
    divider.focus()
    for key, value in [("ArrowLeft", 48), ("Home", 0), ("End", 100), ("PageDown", 90)]:
        page.keyboard.press(key)
        assert divider.get_attribute("aria-valuenow") == str(value)
    assert divider.get_attribute("aria-valuetext") == "90 % before"
    page.focus("#stage")
    before = page.inner_text("#zoom")
    page.keyboard.press("+")
    assert page.inner_text("#zoom") != before
    page.keyboard.press("0")
    assert page.inner_text("#zoom") == before
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, select")].filter(
          (one) => !one.labels?.length && !one.textContent.trim() && !one.ariaLabel
        ).map((one) => one.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("task", ["denoise", "sr"])
def test_zoom_shows_the_same_place(page, task):
    """What is under the pointer stays there, before and after."""
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[40:60, 70:90] = (255, 0, 0)
    choose(page, picture(pixels), task=task)
    restored(page)
    page.keyboard.press("Escape")
    box = page.locator("#stage").bounding_box()
    color = """([x, y]) => {
      const canvas = document.querySelector("#stage canvas");
      const ratio = canvas.width / canvas.clientWidth;
      const context = canvas.getContext("2d");
      return [...context.getImageData(x * ratio, y * ratio, 1, 1).data];
    }"""
    side = min(box["width"], box["height"])
    x = box["width"] / 2 + (0.8 - 0.5) * side
    y = box["height"] / 2
    page.mouse.move(box["x"] + x, box["y"] + y)
    for _ in range(4):
        page.mouse.wheel(0, -200)
    for split in ("Home", "End"):
        page.focus(".divider")
        page.keyboard.press(split)
        page.wait_for_timeout(100)
        red, green, _, _ = page.evaluate(color, [x, y])
        assert red > 200 and green < 60


SIZES = {
    "phone": {
        "viewport": {"width": 360, "height": 740},
        "device_scale_factor": 2,
        "is_mobile": True,
        "has_touch": True,
        "color_scheme": "dark",
    },
    "desktop": {"viewport": {"width": 1280, "height": 800}},
}


@pytest.mark.parametrize("size", SIZES)
def test_each_state_fits(browser, site, size, tmp_path):
    """On the screen; the pictures of them are kept for who wants to look."""
    with browsing.tab(browser, site, **SIZES[size]) as page:

        def look(state):
            page.screenshot(path=tmp_path / f"{state}.png", full_page=True)
            wide, seen = page.evaluate(
                "[document.documentElement.scrollWidth, innerWidth]"
            )
            assert wide <= seen, state

        look("empty")
        name = "a_name_without_a_space_that_is_longer_than_any_line_of_a_phone.png"
        choose(page, picture(smooth(30, 40), name), file(name, b""), task="sr")
        wait_for_text(page, "#estimate", "with")
        look("ready")
        restored(page)
        look("restored")
        box = page.locator("#stage").bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= SIZES[size]["viewport"]["height"]


def test_no_graphics_card_no_threads(browser, built):
    """A host without the headers, in a browser without service workers."""
    with (
        browsing.served(browsing.plain_server(built)) as url,
        browsing.tab(browser, url, service_workers="block") as page,
    ):
        assert page.evaluate("crossOriginIsolated") is False
        assert "1 thread." in page.inner_text("#machine")
        assert page.is_hidden("#gpu")
        pixels = smooth(30, 40)
        choose(page, picture(pixels), task="sr", scale="2", model="xsrcnn-f-x2")
        _, image = restored(page)
        assert_near(image, xunit_keras.restore(pixels, "xsrcnn-f-x2"), "RGB")


def test_offline_and_isolated_after_the_first_visit(browser, built):
    server = browsing.plain_server(built)
    with browsing.served(server) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        ready = re.compile(r"threads?\. Works without a network")
        page.locator("#machine", has_text=ready).wait_for(timeout=60_000)
    page.reload()
    choose(page, picture(smooth(30, 40)), task="derain")
    assert page.evaluate("crossOriginIsolated")
    restored(page)
    context.close()


def test_a_new_version_replaces_the_old_one(browser, built, tmp_path):
    for path in built.iterdir():
        (tmp_path / path.name).symlink_to(path)

    def change(name, pattern, replacement):
        content = (tmp_path / name).read_text(encoding="utf-8")
        (tmp_path / name).unlink()
        changed, count = re.subn(pattern, replacement, content)
        assert count
        (tmp_path / name).write_text(changed, encoding="utf-8")

    with (
        browsing.served(browsing.plain_server(tmp_path)) as url,
        browsing.tab(browser, url) as page,
    ):
        wait_for_text(page, "#machine", "Works without a network")
        change("index.html", "<h1>.*</h1>", "<h1>The next one</h1>")
        change("service-worker.js", r'version:"\w+"', 'version:"next"')
        page.reload()
        wait_for_text(page, "h1", "The next one")


@pytest.mark.slow  # A processor stands in for the graphics card.
def test_the_graphics_card_is_compared_first(playwright, site):
    browser = browsing.chromium(
        playwright,
        "--enable-unsafe-webgpu",
        "--enable-features=Vulkan",
        "--use-webgpu-adapter=swiftshader",
    )
    with contextlib.closing(browser), browsing.tab(browser, site) as page:
        page.check("#gpu")
        pixels = smooth(30, 40)
        choose(page, picture(pixels), task="sr", scale="2", model="xsrcnn-f-x2")
        wait_for_text(page, "#estimate", "with xsrcnn")
        _, image = restored(page)
        assert_near(image, xunit_keras.restore(pixels, "xsrcnn-f-x2"), "RGB")


def test_the_page_of_the_document(browser, built, tmp_path):
    text = (DOCS / "web.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```html\n(.*?)```", text, re.DOTALL)
    pixels = smooth(40, 30)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    (tmp_path / "index.html").write_text(program, encoding="utf-8")
    (tmp_path / "xunit").symlink_to(built)
    with browsing.served(browsing.plain_server(tmp_path)) as url:
        page = browser.new_page()
        page.goto(url)
        wait_until(page, "document.title === '1 of 1'")
        page.wait_for_timeout(100)
        got = page.evaluate(
            """() => {
              const canvas = document.querySelector("canvas");
              const { width, height } = canvas;
              const context = canvas.getContext("2d");
              return [...context.getImageData(0, 0, width, height).data];
            }"""
        )
        page.close()
    expected = xunit_keras.restore(pixels, "xdncnn-color-blind", strength=0.8)
    image = np.reshape(got, (40, 30, 4))[..., :3]
    assert np.abs(image - expected.astype(int)).max() <= 1
