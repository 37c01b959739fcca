"""The card of a model as Hugging Face shows it: a README.md with metadata."""

import json
import textwrap
from typing import Any

from xunit_keras import tasks
from xunit_keras.runtime.models import Card

FILE = "README.md"

_SCORES = {"psnr": "PSNR in dB", "ssim": "SSIM"}


def markdown(card: Card, address: str) -> str:
    """Writes a card as the README.md of a repository on Hugging Face.

    Args:
        card: Of the model.
        address: Where the model will lie, see `xunit_keras.hub`.

    Returns:
        YAML between two lines of dashes (license, library, tags, and the scores as
        `model-index`), and a text for people.

    Reference:
        https://huggingface.co/docs/hub/model-cards
    """
    metadata = "\n".join(_line(key, value) for key, value in _metadata(card).items())
    return f"---\n{metadata}\n---\n\n{_text(card, address)}"


def _metadata(card: Card) -> dict[str, Any]:
    task = {"type": "image-to-image", "name": tasks.from_card(card).purpose}
    results = [
        {
            "task": task,
            "dataset": {"type": score["data"], "name": f"{score['data']}: {protocol}"},
            "metrics": [
                {"type": kind, "name": name, "value": score[kind]}
                for kind, name in _SCORES.items()
                if kind in score
            ],
        }
        for score in card.scores
        for protocol in [score["protocol"]]
    ]
    known = {
        "license": card.license.lower(),
        "library_name": "keras",
        "pipeline_tag": "image-to-image",
        "tags": ["image-restoration", "xunit-keras", card.task, card.network],
        "model-index": [{"name": card.name, "results": results}] if results else None,
    }
    return {key: value for key, value in known.items() if value}


def _line(key: str, value: Any) -> str:
    """JSON is YAML; what has several lines is set in."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return f"{key}: {textwrap.indent(text, '  ').lstrip()}"


def _text(card: Card, address: str) -> str:
    purpose = tasks.from_card(card).purpose
    channels = "RGB" if card.channels == 3 else "gray"
    rows = [
        f"| {score['data']} | {score['protocol']} "
        f"| {score['psnr']:.2f} ({score['input_psnr']:.2f}) |"
        for score in card.scores
    ]
    parts = [
        f"# {card.name}",
        f"A network for {purpose}: `{card.network}`, {card.parameters:,} parameters, "
        f"{channels} images, with the activation "
        "[XUnit](https://arxiv.org/abs/1711.06445).",
        "```sh\npip install 'xunit-keras[hub]'\n"
        f"xunit-keras restore -i photo.png -o restored.png -m {address}\n```",
        f'```python\nmodel = xunit_keras.load("{address}")\n```',
    ]
    if rows:
        head = "| data | protocol | PSNR in dB (of the input) |\n|---|---|---|\n"
        parts.append(head + "\n".join(rows))
    if card.data:
        parts.append(f"Trained on {', '.join(card.data)}. {card.data_terms}".strip())
    commands = [stage["command"] for stage in card.stages if "command" in stage]
    if commands:
        parts.append("```sh\n" + "\n".join(commands) + "\n```")
    return "\n\n".join(parts) + "\n"
