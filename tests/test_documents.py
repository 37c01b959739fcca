"""What the documents show runs as it is printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

import xunit_keras
from xunit_keras import tasks
from xunit_keras.runtime import models

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.glob("*.md")),
    *(ROOT / f"{n}.md" for n in ("README", "CHANGELOG")),
]


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page, language):
    found = re.findall(rf"^```{language}\n(.*?)^```$", text_of(page), re.M | re.S)
    assert found, page
    return found


def commands(page):
    """The commands of a page that are ours, each in one line."""
    lines = "".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    ours = [line for line in lines if line.startswith("xunit-keras ")]
    return [line.partition("  #")[0].rstrip() for line in ours]


@pytest.fixture
def photographs(tmp_path):
    """The files that the pages speak of."""
    photograph = Image.fromarray(data.chelsea()[60:240, 100:380])
    (tmp_path / "holiday").mkdir()
    for name in ("photo.png", "small.png", "noisy.jpg", "holiday/cat.jpg"):
        photograph.save(tmp_path / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("page", ["docs/index.md", "docs/restore.md", "docs/phone.md"])
def test_commands_run_as_printed(page, photographs):
    tools = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    for command in commands(page):
        subprocess.run(
            command, shell=True, cwd=photographs, env=environment, check=True
        )
    written = {path.name for path in photographs.iterdir()}
    assert "large.png" in written or page == "docs/restore.md"


@pytest.mark.slow
def test_the_python_of_the_first_page_runs(run_python):
    (program,) = blocks("docs/index.md", "python")
    assert "ParameterCount(" in run_python("-c", program)


def test_the_readme_shows_what_the_first_page_does():
    """So that what it prints is run, too."""
    assert set(commands("README.md")) <= set(commands("docs/index.md"))
    (program,) = blocks("README.md", "python")
    assert blocks("docs/index.md", "python")[0].startswith(program)


def test_links_inside_the_documents():
    """Those to files; `make docs` checks the headings too."""
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if not re.match(r"[a-z]+:|#", target):
                path = page.parent / target.partition("#")[0]
                assert path.exists(), f"{page.name}: {target}"


def test_the_page_beside_the_literature_has_the_scores_of_cards_and_tables():
    (table,) = re.findall(
        r"^\| test set .*?\n\n", text_of("docs/literature.md"), re.M | re.S
    )
    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:] if line]
    assert len(rows) > 10
    published = {
        (title, row.method): (row.parameters, row.scores[column])
        for task in tasks.TASKS.values()
        for column, title in task.results.columns.items()
        for row in task.results.quoted
        if column in row.scores
    }
    for row in rows:
        test_set, method, parameters, psnr, name, ours, our_psnr = map(str.strip, row)
        known, score = published[test_set, method]
        assert (parameters, psnr) == (f"{known:,}" if known else "", f"{score:.2f}")
        card = models.card(name.strip("`"))
        assert ours == f"{card.parameters:,}"
        assert our_psnr in [f"{one['psnr']:.2f}" for one in card.scores], row


def test_the_python_program_without_the_package(tmp_path):
    text = (DOCS / "without-the-package.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "xunit_keras" not in program
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    name = "xdncnn-color-blind"
    ready = models.model_folder(name) / models.READY_FILE
    (tmp_path / "model.onnx").write_bytes(ready.read_bytes())
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    restored = np.asarray(Image.open(tmp_path / "restored.png")).astype(int)
    assert np.abs(restored - xunit_keras.restore(pixels, name)).max() <= 1
