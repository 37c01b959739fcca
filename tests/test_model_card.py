"""The README.md that Hugging Face shows of a model."""

import yaml

from xunit_keras import model_card
from xunit_keras.runtime.models import Card

ADDRESS = "hf://someone/small"


def metadata(card):
    text = model_card.markdown(card, ADDRESS)
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_what_is_not_known_is_left_out():
    """Nothing is made up for a network of one's own."""
    card = Card(name="small", task="denoise", network="mine", channels=3, parameters=12)
    known, body = metadata(card)
    assert set(known) == {"library_name", "pipeline_tag", "tags"}
    assert known["tags"] == ["image-restoration", "xunit-keras", "denoise", "mine"]
    assert "| data |" not in body and "Trained on" not in body
    assert "`mine`, 12 parameters, RGB images" in body
    assert f"-m {ADDRESS}\n" in body and f'xunit_keras.load("{ADDRESS}")' in body


def test_any_text_stays_text():
    """Colons, quotes and line breaks do not end the metadata."""
    odd = 'a: "b"\n---\n# c'
    score = {"data": odd, "protocol": "p", "psnr": 30.5, "input_psnr": 20.0}
    card = Card(
        name=odd,
        task="sr",
        network=odd,
        channels=1,
        parameters=3,
        scale=3,
        scores=(score,),
        license="MIT",
    )
    known, _ = metadata(card)
    (index,) = known["model-index"]
    assert index["name"] == odd and known["tags"][-1] == odd
    assert known["license"] == "mit"
    assert index["results"][0]["dataset"]["type"] == odd
    assert index["results"][0]["metrics"] == [
        {"type": "psnr", "name": "PSNR in dB", "value": 30.5}
    ]
