"""What the documents show runs as it is printed."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import xunit_keras
from xunit_keras.runtime import models

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_python_program_without_the_package(tmp_path):
    text = (DOCS / "without-the-package.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert "xunit_keras" not in program
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    name = "xdncnn-color-sigma25"
    ready = models.model_folder(name) / models.READY_FILE
    (tmp_path / "model.onnx").write_bytes(ready.read_bytes())
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)
    restored = np.asarray(Image.open(tmp_path / "restored.png")).astype(int)
    assert np.abs(restored - xunit_keras.restore(pixels, name)).max() <= 1
