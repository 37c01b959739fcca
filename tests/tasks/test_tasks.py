"""What holds for every task, and that each degrades patches as it does images."""

import dataclasses
import types

import numpy as np
import pytest
import tensorflow as tf

from xunit_keras import tasks
from xunit_keras.imaging.color import luminance
from xunit_keras.imaging.pixels import to_float
from xunit_keras.imaging.rain import draw_streaks
from xunit_keras.imaging.resize import crop_to_multiple
from xunit_keras.runtime import models
from xunit_keras.tasks import denoise

SETTINGS = [
    ("denoise", {}),
    ("denoise", {"channels": 3, "sigma": (0.0, 55.0)}),
    ("derain", {}),
    ("sr", {"scale": 2}),
    ("sr", {"scale": 3, "channels": 3}),
    ("jpeg", {"quality": 30}),
    ("jpeg", {"quality": (5, 95), "channels": 3}),
]

every_task = pytest.mark.parametrize(
    "task", [tasks.create(name, **settings) for name, settings in SETTINGS], ids=str
)


@pytest.fixture
def photograph():
    return np.random.default_rng(0).integers(0, 256, (37, 50, 3), dtype=np.uint8)


# ------------------------------------------------------- the words, and the settings


def test_an_unknown_task_is_an_error_everywhere():
    for ask in (
        lambda: tasks.get("rain"),
        lambda: tasks.create("rain"),
        lambda: tasks.create(None),
        lambda: tasks.from_card({"task": "rain"}),
        lambda: tasks.from_card(types.SimpleNamespace(task="rain")),
        lambda: tasks.guess(1, 1, "rain"),
    ):
        with pytest.raises(
            ValueError, match=r"must be one of denoise, derain, sr, jpeg\."
        ):
            ask()


def test_settings():
    assert {name: task.settings() for name, task in tasks.TASKS.items()} == {
        "denoise": ("channels", "seed", "sigma"),
        "derain": ("channels", "seed"),
        "sr": ("channels", "seed", "scale"),
        "jpeg": ("channels", "seed", "quality"),
    }
    with pytest.raises(ValueError, match=r"'derain' has no `sigma`.*sigma=\(25,\)"):
        tasks.create("derain", sigma=(25,))
    assert tasks.create("derain", sigma=None) == tasks.create("derain")
    assert tasks.create("sr", scale=np.int64(4)) == tasks.create("sr", scale=4)
    assert tasks.create("denoise", sigma=[25]) == tasks.create("denoise", sigma=25)


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        *(("denoise", "channels", value) for value in (0, 2, 4, True, "1")),
        *(("derain", "channels", value) for value in (1, 2)),
        *(("sr", "scale", value) for value in (1, 0, -2, 2.5, "3")),
        *(
            ("denoise", "sigma", value)
            for value in ((), (-1,), (256,), (50, 10), (1, 2, 3), "x", (float("nan"),))
        ),
        *(
            ("jpeg", "quality", value)
            for value in ((), (0,), (101,), (50, 10), (1, 2, 3), "x", 2.5, (True,))
        ),
    ],
)
def test_settings_out_of_range(name, setting, value):
    with pytest.raises(ValueError, match=f"`{setting}` must be"):
        tasks.create(name, **{setting: value})


def test_a_network_without_a_card():
    assert tasks.guess(3, 1) == tasks.create("denoise", channels=3)
    assert tasks.guess(1, 4) == tasks.create("sr", scale=4)
    assert tasks.guess(3, 1, "derain") == tasks.create("derain")


# ------------------------------------------------------------------ cards and scores


@every_task
def test_a_card_holds_the_settings(task):
    card = task.as_card()
    assert card["task"] == task.name and card["scale"] == task.scale
    assert "seed" not in card
    again = tasks.from_card(card)
    assert again == task and str(again) == str(task)
    assert tasks.from_card(types.SimpleNamespace(**card)) == task


@pytest.mark.parametrize("name", models.list_models())
def test_released_cards(name):
    """Every score of a release has the protocol of its task at that level."""
    card = models.card(name)
    task = tasks.from_card(card)
    assert (task.name, task.channels, task.scale) == (
        *(card.task, card.channels, card.scale),
    )
    assert {score["data"] for score in card.scores} == {"sample", *task.test_sets}
    for score in card.scores:
        scored = task.scored()
        for setting in {"sigma", "quality"} & set(score):
            scored = dataclasses.replace(task, **{setting: (score[setting],)})
        assert score["protocol"] == str(scored)
        assert set(task.columns(score["data"])) <= {
            *task.results.columns,
            *task.columns("sample"),
        }


def test_blind_models_are_scored_at_the_level_of_the_literature():
    for sigma, level in (((25,), 25), ((0, 55), 25), ((30, 50), 40), ((15,), 15)):
        task = tasks.create("denoise", sigma=sigma, channels=3, seed=5)
        assert task.scored() == tasks.create(
            "denoise", sigma=(level,), channels=3, seed=5
        )
        assert f"sigma {level}/255" in str(task)


@every_task
def test_scores(task, photograph):
    example = task.example("a.png", photograph)
    perfect = task.score(example.clean, example)
    for suffix in task.spaces():
        assert perfect[f"psnr{suffix}"] == np.inf
        assert perfect[f"ssim{suffix}"] == pytest.approx(1)
        assert perfect[f"input_psnr{suffix}"] < 60
    blocks = task.name == "jpeg"  # which are scored, too
    assert len(perfect) == 4 * len(task.spaces()) + 2 * blocks
    unchanged = task.score(example.baseline, example)
    for suffix in task.spaces():
        assert unchanged[f"psnr{suffix}"] == unchanged[f"input_psnr{suffix}"]


# --------------------------------------------- the same for patches as for an image


@every_task
def test_degradation_comes_from_seed_and_name(task, photograph):
    degraded = task.example("folder/a.png", photograph).degraded
    again = task.example("a.jpg", photograph).degraded
    np.testing.assert_array_equal(degraded, again)
    other = task.example("b.png", photograph).degraded
    reseeded = dataclasses.replace(task, seed=1).example("a.png", photograph).degraded
    if task.name in ("denoise", "derain"):
        for another in (other, reseeded):
            assert np.abs(another - degraded).max() > 0.01
    else:  # Nothing in it is random.
        np.testing.assert_array_equal(degraded, other)
        np.testing.assert_array_equal(degraded, reseeded)


def test_noise_has_the_level_asked_for_and_comes_from_the_seed():
    task = tasks.create("denoise", sigma=(25,))
    clean = np.full((4, 100, 100, 1), 0.5, "float32")
    noisy = task.degrade_batch(clean, (1, 2)).numpy()
    np.testing.assert_array_equal(noisy, task.degrade_batch(clean, (1, 2)))
    assert np.abs(noisy - task.degrade_batch(clean, (1, 3))).max() > 0.1
    image = np.full((200, 200, 1), 128, np.uint8)
    alone = task.degrade(image, np.random.default_rng(0))
    # As much in patches as in an image, and neither is rounded.
    for noise in (noisy - clean, alone - to_float(image)):
        assert abs(noise.std() * 255 - 25) < 0.3
        assert abs(noise.mean() * 255) < 0.5
        assert noise.dtype == np.float32 and len(np.unique(noise)) > 10_000


def test_noise_is_the_same_arithmetic_for_patches_and_images():
    task = tasks.create("denoise", sigma=(50,))
    image = np.random.default_rng(1).integers(0, 256, (40, 40, 1), dtype=np.uint8)
    draws = np.random.default_rng(2).standard_normal(image.shape, np.float32)
    alone = task.degrade(image, np.random.default_rng(2))
    in_a_batch = denoise._noisy(
        task.to_patches(image[None]), tf.constant(draws[None]), tf.fill([1] * 4, 50.0)
    )
    np.testing.assert_allclose(alone, in_a_batch[0], atol=1e-6)
    np.testing.assert_allclose(alone, image / 255 + draws * 50 / 255, atol=1e-6)
    # Training draws so: first the levels, then the noise.
    seeds = tf.unstack(tf.random.split((3, 4)))
    draws = tf.random.stateless_normal([1, 40, 40, 1], seeds[1]).numpy()
    np.testing.assert_allclose(
        task.degrade_batch(task.to_patches(image[None]), (3, 4)),
        image[None] / 255 + draws * 50 / 255,
        atol=1e-6,
    )


def test_noise_is_not_clipped():
    task = tasks.create("denoise", sigma=(50,))
    noisy = task.degrade_batch(np.ones((1, 50, 50, 1), "float32"), (0, 0))
    assert noisy.numpy().max() > 1.1
    white = np.full((50, 50, 1), 255, np.uint8)
    assert task.degrade(white, np.random.default_rng(0)).max() > 1.1


def test_blind_noise_draws_a_level_for_each_image():
    clean = np.zeros((64, 40, 40, 1), "float32")
    task = tasks.create("denoise", sigma=(0.0, 55.0))
    noisy = task.degrade_batch(clean, (0, 0)).numpy()
    levels = noisy.std(axis=(1, 2, 3)) * 255
    assert levels.min() < 10 and levels.max() > 45
    assert levels.max() < 57


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_is_equal_for_patches_and_images(photograph, scale, channels):
    task = tasks.create("sr", scale=scale, channels=channels)
    clean = task.clean(photograph)
    (prepared,) = task.prepare([clean])
    assert prepared.dtype == np.uint8
    assert tuple(scale * side for side in prepared.shape) == (
        *clean.shape[:2],
        scale * 3,
    )
    alone = task.degrade(clean, np.random.default_rng(0))
    np.testing.assert_array_equal(task.truth(prepared), alone)
    # Y of patches is the same but for the last bit of its sum.
    for pixels, expected in ((prepared, alone), (clean, task.truth(clean))):
        patches = task.to_patches(tf.constant(pixels[None]))
        np.testing.assert_allclose(patches[0], expected, rtol=0, atol=2e-7)
    with pytest.raises(ValueError, match="'sr' are degraded as a whole"):
        task.degrade_batch(alone[None], (0, 0))


def test_down_sampling_equals_tensorflow_inside():
    # tf.image.resize antialiases as MATLAB does, but not at the borders.
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)
    (ours,) = tasks.create("sr", scale=3).prepare([image])
    theirs = tf.image.resize(image, (20, 30), "bicubic", antialias=True).numpy()
    theirs = np.clip(np.rint(theirs), 0, 255)
    assert ours.dtype == np.uint8 and ours.shape == (20, 30, 3)
    assert np.abs(ours - theirs)[3:-3, 3:-3].max() <= 1  # halves may round apart


def test_crop_to_multiple():
    image = np.arange(7 * 8).reshape(7, 8, 1).astype("uint8")
    np.testing.assert_array_equal(crop_to_multiple(image, 3), image[:6, :6])


def test_y_is_matlabs(photograph):
    expected = luminance(photograph / 255.0)
    patches = tasks.create("sr").to_patches(photograph[None])
    np.testing.assert_allclose(patches[0], expected, atol=1e-6)
    assert expected.min() >= 16 / 255 and expected.max() <= 235 / 255


def test_gray_is_rounded_luma():
    image = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    gray = tasks.create("denoise").clean(image)
    np.testing.assert_array_equal(gray[0, :, 0], [76, 150, 29, 9])


def test_rain_brightens_and_stays_in_range():
    task = tasks.create("derain")
    rng = np.random.default_rng(0)
    clean = rng.uniform(size=(3, 20, 20, 3)).astype("float32")
    streaks = (rng.uniform(size=(3, 20, 20, 1)) > 0.8).astype("float32")
    rainy = task.degrade_batch(clean, (0, 1), streaks).numpy()
    assert (rainy >= clean).all() and rainy.max() <= 1.0
    dry = np.broadcast_to(streaks == 0, clean.shape)
    np.testing.assert_array_equal(rainy[dry], clean[dry])


def test_rain_is_the_same_arithmetic_for_patches_and_images(photograph):
    task = tasks.create("derain")
    streaks = draw_streaks(*photograph.shape[:2], np.random.default_rng(3))
    clean = to_float(photograph)
    alone = task.degrade(photograph, np.random.default_rng(3))
    # Of 8 bits, as files are; in training it is not rounded.
    expected = np.minimum(clean + streaks, 1.0)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=0.501 / 255)
    np.testing.assert_array_equal(alone, np.rint(255 * alone).astype("f4") / 255)
    strength = tf.random.stateless_uniform([1, 1, 1, 1], (5, 6), 0.5, 1.2).numpy()
    in_a_batch = task.degrade_batch(
        task.to_patches(photograph[None]), (5, 6), streaks[None] / strength
    )
    np.testing.assert_allclose(in_a_batch[0], expected, atol=1e-6)


def test_the_strength_of_rain_differs_from_patch_to_patch():
    task = tasks.create("derain")
    black, streaks = np.zeros((64, 4, 4, 3), "f4"), np.full((64, 4, 4, 1), 0.5, "f4")
    strength = task.degrade_batch(black, (0, 0), streaks).numpy()[:, 0, 0, 0] / 0.5
    assert 0.5 <= strength.min() < 0.6 and 1.1 < strength.max() < 1.2
