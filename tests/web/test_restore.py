"""`restore.js` gives what `xunit_keras.restore` gives."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path

import browsing
import numpy as np
import pytest

import xunit_keras
from xunit_keras import choosing, restoration
from xunit_keras.imaging.alpha import fill_transparent
from xunit_keras.restorer import Restorer
from xunit_keras.runtime.tiles import ReceptiveField, cuts

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "web" / "src"
# A network's sums are rounded in another order: of all samples, this share may be on
# the other side of a half, one level off.
SHARE = 5e-4

RESTORE = """
async ({ name, pixels, width, height, options }) => {
  const { openModel, restore } = await import("./restore.js");
  const data = Uint8ClampedArray.from(atob(pixels), (c) => c.charCodeAt(0));
  const model = await openModel(name);
  const calls = [];
  options.onProgress = (done, total) => calls.push([done, total]);
  const result = await restore({ data, width, height }, model, options);
  await model.close();
  let text = "";
  for (const byte of result.data) text += String.fromCharCode(byte);
  return { text: btoa(text), width: result.width, height: result.height, calls };
}
"""


def noisy(height, width, channels=3, seed=0):
    """Smooth colors and noise, uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][..., None]
    waves = 127 + 80 * np.sin(x / 17 + np.arange(channels)) * np.cos(y / 11)
    return np.clip(waves + random.normal(0, 15, waves.shape), 0, 255).astype(np.uint8)


def rgba(pixels, alpha=None):
    height, width = pixels.shape[:2]
    color = np.broadcast_to(pixels.reshape(height, width, -1), (height, width, 3))
    opaque = np.full((height, width), 255, np.uint8)
    return np.dstack([color, opaque if alpha is None else alpha])


def in_browser(page, name, image, **options):
    """RGBA restored by the page's module, and what it reported on the way."""
    height, width = image.shape[:2]
    given = {"name": name, "pixels": browsing.text(image), "options": options}
    result = page.evaluate(RESTORE, {**given, "width": width, "height": height})
    content = np.frombuffer(base64.b64decode(result["text"]), np.uint8)
    return content.reshape(result["height"], result["width"], 4), result["calls"]


def assert_equal(got, expected):
    difference = np.abs(got.astype(int) - expected)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= SHARE or difference.sum() <= 1


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2000), (61, 47)])
@pytest.mark.parametrize(
    "name", ["xdncnn-color-blind", "xsrcnn-f-x3", "xnet-100k-sigma25"]
)
def test_color(page, name, size):
    image = noisy(*size)
    got, _ = in_browser(page, name, rgba(image))
    assert_equal(got, rgba(xunit_keras.restore(image, name)))


@pytest.mark.parametrize("name", ["xderain", "xsrcnn-f-x2"])
def test_gray(page, name):
    image = noisy(40, 33, 1)[..., 0]
    got, _ = in_browser(page, name, rgba(image))
    assert_equal(got, rgba(xunit_keras.restore(image, name)))


@pytest.mark.parametrize(
    ("name", "size"), [("xdncnn-color-blind", (230, 170)), ("xsrcnn-f-x4", (90, 70))]
)
def test_tiles_equal_the_whole(page, name, size):
    image = noisy(*size)
    got, calls = in_browser(page, name, rgba(image), window=128)
    assert calls[0][1] > 3 and calls[-1] == [calls[0][1], calls[0][1]]
    assert_equal(got, rgba(xunit_keras.restore(image, name, tile=0)))


@pytest.mark.parametrize("name", ["xnet-100k-sigma25", "xsrcnn-f-x2"])
def test_strength(page, name):
    image = noisy(50, 40)
    got, _ = in_browser(page, name, rgba(image), strength=0.3)
    assert_equal(got, rgba(xunit_keras.restore(image, name, strength=0.3)))


@pytest.mark.parametrize("name", ["xdncnn-color-blind", "xsrcnn-f-x3"])
def test_transparency(page, name):
    image = noisy(70, 90)
    y, x = np.mgrid[:70, :90]
    far = np.hypot(y - 30, x - 40)
    alpha = np.clip(300 - 12 * far, 0, 255).astype(np.uint8)
    image[alpha == 0] = 0  # What most programs write there.
    restorer = Restorer(restoration.open_network, name)
    expected = np.dstack(restorer.route(image).whole(image, alpha))
    got, _ = in_browser(page, name, rgba(image, alpha))
    assert_equal(got[..., 3], expected[..., 3])
    seen = expected[..., 3] > 0
    assert_equal(got[seen], expected[seen])


def test_errors_are_sentences(page):
    run = """async (strength) => {
      const { openModel, restore } = await import("./restore.js");
      const model = await openModel("xsrcnn-f-x2");
      return restore(new ImageData(2, 2), model, { strength }).catch((e) => e.message);
    }"""
    assert page.evaluate(run, 2) == "`strength` must be 0 to 1. Received: 2"
    unknown = (
        'import("./restore.js").then((m) => m.openModel("x")).catch((e) => e.message)'
    )
    told = page.evaluate(unknown)
    assert told.startswith('There is no model "x".') and "xderain" in told


def test_signal_ends_between_windows(page):
    run = """async () => {
      const { openModel, restore } = await import("./restore.js");
      const model = await openModel("xsrcnn-f-x2");
      const control = new AbortController();
      const done = [];
      const options = { signal: control.signal, window: 32, onProgress(n) {
        done.push(n);
        if (n === 2) control.abort();
      } };
      const image = new ImageData(100, 100);
      return [await restore(image, model, options).catch((e) => e.name), done];
    }"""
    assert page.evaluate(run) == ["AbortError", [0, 1, 2]]


# ---------------------------------------------------------------- without a browser


def node(code: str):
    """What a module gives in Node, where no browser is needed."""
    if shutil.which("node") is None:
        pytest.skip("Node.js is missing: the page's modules cannot be run.")
    result = subprocess.run(
        ["node", "--input-type=module"],
        input=code,
        cwd=SOURCES,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def module(name: str) -> str:
    return json.dumps((SOURCES / name).as_uri())


def test_windows_are_those_of_python():
    fields = [(1, 41, 1), (3, 7, 1), (2, 1, 1), (1, 13, 4)]
    sizes = [(1, 1), (3, 2000), (2000, 3), (3000, 4000), (769, 768), (100, 5000)]
    cases = [(f, *size, w) for f in fields for size in sizes for w in (768, 64)]
    code = f"""
    import {{ cover }} from {module("cover.js")};
    const result = {json.dumps(cases)}.map(([[scale, radius, stride], ...rest]) =>
      cover({{ scale, radius, stride }}, ...rest));
    console.log(JSON.stringify(result));
    """
    for (field, height, width, window), got in zip(cases, node(code), strict=True):
        expected = cuts(ReceptiveField(*field), height, width, "auto", window)
        for tiles, axis in zip(expected, (got["rows"], got["columns"]), strict=True):
            assert [
                (t.window.start, t.window.stop, t.kept.start, t.kept.stop)
                for t in tiles
            ] == [(t["start"], t["stop"], t["from"], t["to"]) for t in axis]


def test_hidden_colors_are_filled_as_in_python():
    random = np.random.default_rng(1)
    for size in [(1, 1), (1, 7), (33, 20)]:
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        alpha = random.choice([0, 0, 0, 3, 20, 255], size).astype(np.uint8)
        alpha[0, 0] = 9
        code = f"""
        import {{ fillTransparent }} from {module("alpha.js")};
        const data = Uint8ClampedArray.from({rgba(image, alpha).ravel().tolist()});
        console.log(JSON.stringify([...fillTransparent(data, {size[1]}, {size[0]})]));
        """
        got = np.reshape(node(code), (*size, 4))
        expected = rgba(fill_transparent(image, alpha), alpha)
        assert np.abs(got - expected).max() <= 1
        assert (got != expected).mean() < 0.01


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sigma", [0, 3, 16, 24, 50, 90])
def test_chosen_as_in_python(channels, sigma):
    random = np.random.default_rng(2)
    clean = noisy(80, 101, channels).astype(float) if sigma else np.full((9, 8, 3), 7.0)
    image = np.clip(clean + random.normal(0, sigma, clean.shape), 0, 255)
    image = image.astype(np.uint8)[..., :channels]
    image = image[..., 0] if channels == 1 else image
    cards = [vars(xunit_keras.card(name)) for name in xunit_keras.list_models()]
    known = [
        {key: card[key] for key in ("name", "task", "network", "channels", "scale")}
        | {"sigma": card["sigma"], "psnr": card["scores"][0]["psnr"]}
        for card in cards
    ]
    height, width = image.shape[:2]
    code = f"""
    import {{ choose }} from {module("choose.js")};
    import {{ estimateNoise }} from {module("noise.js")};
    const data = Uint8ClampedArray.from({rgba(image).ravel().tolist()});
    const image = {{ data, width: {width}, height: {height} }};
    const noise = estimateNoise(image, {channels});
    const cards = {json.dumps(known)}.filter((card) => card.task === "denoise");
    const {{ card, reason }} = choose(cards, {channels}, () => noise);
    console.log(JSON.stringify([noise, card.name, reason]));
    """
    noise, name, reason = node(code)
    np.testing.assert_allclose(noise, choosing.estimate_noise(image), rtol=1e-4)
    expected = choosing.choose_model("denoise", image)
    assert name == expected.model
    assert reason.split(", ")[:2] == expected.reason.split(", ")[:2]


def test_enlarging_takes_the_best_network_for_the_scale():
    cards = [
        {"name": name, "network": network, "psnr": psnr, "scale": scale}
        | {"channels": 1, "sigma": []}
        for name, network, psnr, scale in [
            ("good", "xsrcnn_f", 39, 3),
            ("better", "xespcn_s", 40, 3),
            ("twice", "xespcn_s", 45, 2),
        ]
    ]
    code = f"""
    import {{ byScale, choose }} from {module("choose.js")};
    const names = [3, 2, 7].map(
      (scale) => choose(byScale({json.dumps(cards)}, scale), 3, () => 0).card.name);
    console.log(JSON.stringify(names));
    """
    assert node(code) == ["better", "twice", "twice"]


def test_the_sources_are_typed(built):
    command = [shutil.which("npm"), "run", "--silent", "check"]
    result = subprocess.run(command, cwd=ROOT / "web", capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    types = (built / "restore.d.ts").read_text(encoding="utf-8")
    assert re.search(r"\brestore\b", types)
