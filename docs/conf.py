"""How the documentation is built: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import xunit_keras

HERE = Path(__file__).resolve().parent

project = "xunit-keras"
author = "the authors of xunit-keras"
copyright = author
release = version = xunit_keras.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["evaluations"]
html_theme = "furo"
html_title = "xunit-keras"
html_static_path = ["_static"]
html_css_files = ["site.css"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings mark code with single backticks, as Markdown does.
default_role = "code"
napoleon_google_docstring = True
napoleon_use_rtype = False
napoleon_custom_sections = ["Input shape", "Output shape", "Source"]
autodoc_typehints = "none"
autodoc_member_order = "bysource"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# External links are checked by `make links`.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_workers = 4


def write_notebooks(app) -> None:
    """The scripts in notebooks/ as pages, and as notebooks to download."""
    import jupytext

    folder = HERE / "notebooks"
    folder.mkdir(exist_ok=True)
    for script in sorted((HERE.parent / "notebooks").glob("*.py")):
        notebook = jupytext.read(script)
        jupytext.write(notebook, folder / f"{script.stem}.ipynb")
        text = jupytext.writes(notebook, fmt="md")
        # Without the header, which is for programs.
        body = text.split("---\n", 2)[2].strip()
        title, _, rest = body.partition("\n")
        link = f"{{download}}`Download as a notebook <{script.stem}.ipynb>`"
        page = folder / f"{script.stem}.md"
        page.write_text(f"{title}\n\n{link}\n{rest}\n", encoding="utf-8")


def setup(app) -> None:
    """Sphinx calls this."""
    app.connect("builder-inited", write_notebooks)
