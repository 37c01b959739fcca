import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from pipelines import datasets, scoring, train
from pipelines.callbacks import Checkpoint, DivergenceError, History, averaged_weights
from xunit_keras import activation_maps, zoo
from xunit_keras.resize import imresize

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A training of seconds, on the sample."""
    monkeypatch.setenv("XUNIT_KERAS_DATA", str(tmp_path / "nothing"))
    return train.resolve(
        train.Config(
            task="sr",
            scale=2,
            batch_size=2,
            patch_size=16,
            steps=6,
            every=2,
            validation_images=1,
            out=tmp_path / "run",
        )
    )


def test_without_data_it_trains_on_the_sample_and_says_so(config, capsys):
    assert config.data == ("sample",) and config.validation == "sample"
    train.resolve(replace(config, data=()))
    assert "training on the sample photographs" in capsys.readouterr().out


def test_an_interrupted_training_ends_where_an_uninterrupted_one_ends(
    config, monkeypatch, tmp_path
):
    keras.utils.set_random_seed(0)
    whole = train.train(config)

    class Killed(BaseException):
        pass

    def die(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 5:  # in the third round
            raise Killed

    interrupted = replace(config, out=tmp_path / "interrupted")
    monkeypatch.setattr(train.StopOnDivergence, "on_train_batch_end", die)
    with pytest.raises(Killed):
        train.train(interrupted)
    monkeypatch.undo()
    # What was cut short can be used, and says how far it got.
    assert zoo.card(interrupted.out / "model")["stages"][0]["steps"] == 4
    resumed = train.train(interrupted, resume=True)

    for ours, theirs in zip(resumed.variables, whole.variables, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6, err_msg=ours.path)
    logs = [History.read(out / "log.csv") for out in (config.out, interrupted.out)]
    assert [row["step"] for row in logs[1]] == ["2", "4", "6"]
    for one, other in zip(*logs, strict=True):
        assert float(one["loss"]) == pytest.approx(float(other["loss"]), rel=1e-4)
        assert float(one["val_psnr"]) == pytest.approx(
            float(other["val_psnr"]), abs=1e-3
        )
    # What is kept is the average, which loads like a released model.
    released = zoo.load(interrupted.out / "model")
    with averaged_weights(resumed):
        for ours, theirs in zip(released.variables, resumed.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    for name in ("training.json", "curves.png", "samples/step-000006.png"):
        assert (interrupted.out / name).stat().st_size > 0, name
    check_pictures(interrupted, released)


def check_pictures(config, model):
    """TensorBoard has the pictures of every round, the last as of the kept model."""
    pictures = EventAccumulator(str(config.out / "tensorboard" / "pictures"))
    pictures.Reload()
    (example,) = scoring.first_examples(
        config.validation, train.protocol(config), config.data_root, 1
    )
    maps = activation_maps(model, example.centre(192).degraded, tile=0)
    assert maps["xunit_1"].weights.shape == (192, 192, 64)
    for name, found in maps.items():
        *_, last = pictures.Tensors(f"mean weight map/{name}")
        assert last.step == config.steps
        width, height, png = last.tensor_proto.string_val
        assert (width, height) == (b"192", b"192")
        shown = tf.io.decode_png(png).numpy()[..., 0] / 255
        np.testing.assert_allclose(shown, found.weights.mean(axis=2), atol=0.004)
        *_, last = pictures.Tensors(f"channels in use/{name}")
        assert tf.make_ndarray(last.tensor_proto) == pytest.approx(
            found.effective_channels, rel=1e-3
        )
    assert {event.step for event in pictures.Tensors("images")} == {2, 4, 6}


def test_residual_networks_are_trained_by_name(config):
    for name in ("srresnet", "xsrresnet"):
        model = train.network(replace(config, model=name, scale=4))
        assert model.name == name
        assert model(np.zeros((1, 4, 3, 1), "float32")).shape == (1, 16, 12, 1)
        assert "restored" in {layer.name for layer in model.layers}


def test_a_folder_that_holds_another_run_is_refused(config):
    config.out.mkdir()
    saved = {"task": "sr", "steps": 7}
    (config.out / "training.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="holds a run already"):
        train.train(config)
    with pytest.raises(ValueError, match="steps was 7, is 6"):
        train.train(config, resume=True)
    assert json.loads((config.out / "training.json").read_text()) == saved


def test_a_run_from_before_an_option_existed_can_go_on(config):
    config.out.mkdir()
    saved = json.loads(json.dumps(vars(config), default=str))
    for younger in ("depth", "filters", "fix_statistics"):
        del saved[younger]
    (config.out / "training.json").write_text(json.dumps(saved))
    train._claim(config, resume=True)
    again = json.loads((config.out / "training.json").read_text())
    assert again == {**saved, "depth": None, "filters": None, "fix_statistics": False}
    (config.out / "training.json").write_text(json.dumps(saved))
    with pytest.raises(ValueError, match="filters was None, is 8"):
        train._claim(replace(config, filters=8), resume=True)


def test_depth_and_filters_reach_the_network_and_its_card(tmp_path):
    config = train.Config(
        "denoise", model="xnet", depth=3, filters=8, out=tmp_path / "run"
    )
    convolutions = [
        layer
        for layer in train.network(config).layers
        if isinstance(layer, keras.layers.Conv2D)
    ]
    assert [layer.filters for layer in convolutions] == [8, 8, 1]
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "log.csv").write_text("step,seconds\n1,2.0\n")
    recipe = train.card(config, 1)["stages"][0]["recipe"]
    assert (recipe["depth"], recipe["filters"]) == (3, 8)
    default = train.network(replace(config, depth=None, filters=None))
    assert default.get_layer("conv_4") and default.get_layer("conv_1").filters == 64


def test_patches_come_from_copies_of_several_sizes(config):
    assert config.shrink == (1.0, 0.8, 0.6, 0.5, 0.4)  # as super resolution trains
    photographs = [p.pixels for p in datasets.photographs("sample")]
    clean = train.patch_source(replace(config, shrink=(1.0, 0.5))).clean
    heights = [im.shape[0] // 2 * 2 for im in photographs]  # whole patches of x2
    heights += [-(-im.shape[0] // 2) // 2 * 2 for im in photographs]
    assert clean.heights.numpy().tolist() == heights
    start, width = int(clean.offsets[-1]), int(clean.widths[-1])
    last = imresize(photographs[-1], Fraction(1, 2))[: heights[-1], :width]
    np.testing.assert_array_equal(
        clean.pixels[start:].numpy().reshape(-1, width, 3),
        np.broadcast_to(last, (*last.shape[:2], 3)),
    )


def test_rainy_pairs_shrink_together(tmp_path):
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 200, (40, 60, 3), dtype=np.uint8)
    for name, offset in (("rainy", 50), ("clean", 0)):
        (tmp_path / name).mkdir()
        Image.fromarray(clean + offset).save(tmp_path / name / "a.png")
    config = train.resolve(
        train.Config("derain", data=(str(tmp_path),), patch_size=16, shrink=(0.5,))
    )
    source = train.patch_source(config)
    assert source.clean.heights.numpy().tolist() == [20]
    difference = source.degraded.pixels.numpy() - source.clean.pixels.numpy()
    assert set(difference) == {50}


def test_what_is_trained_in_half_precision_is_kept_in_float32(config):
    config = replace(config, precision="mixed_bfloat16", steps=2)
    trained = train.train(config)
    kept = zoo.load(config.out / "model")
    assert trained.get_layer("conv_2").compute_dtype == "bfloat16"
    assert {layer.compute_dtype for layer in kept.layers} == {"float32"}
    with averaged_weights(trained):
        for a, b in zip(trained.get_weights(), kept.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    assert keras.config.dtype_policy().name == "float32"


def test_a_loss_that_is_no_number_stops_with_a_sentence(config, monkeypatch):
    monkeypatch.setattr(
        train.CentreMeanSquaredError, "call", lambda self, y, p: p[..., 0] * np.nan
    )
    with pytest.raises(DivergenceError, match=r"became nan at step 1.*learning-rate"):
        train.train(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "resnet"}, "Received: 'resnet'"),
        ({"steps": 0}, "`steps` must be positive"),
        ({"model": "xdncnn", "depth": 0}, "`depth` must be positive"),
        ({"filters": 8}, "The size of 'xsrcnn_f' is fixed. Received: filters=8"),
        ({"margin": 8}, "margin=8"),
        ({"shrink": (1.0, 0.0)}, "at most 1. Received: \\(1.0, 0.0\\)"),
        ({"shrink": ()}, "one or more factors"),
        ({"shrink": (2.0,)}, "Received: \\(2.0,\\)"),
        ({"sigma": (1.0, 2.0, 3.0)}, "Received: \\(1.0, 2.0, 3.0\\)"),
        ({"data": ("bsd68",)}, "bsd68 are test sets"),
        ({"data": ("bsds500-train", "bsd100")}, "bsd100 are test sets"),
    ],
)
def test_bad_configurations(config, change, message):
    with pytest.raises(ValueError, match=message):
        train.resolve(replace(config, **change))


def test_the_loss_leaves_the_border_out():
    truth = np.zeros((1, 8, 8, 1), "float32")
    image = np.ones((1, 8, 8, 1), "float32")
    image[:, 2:-2, 2:-2] = 0.5
    assert float(train.CentreMeanSquaredError(2)(truth, image)) == pytest.approx(0.25)
    whole = float(train.CentreMeanSquaredError(0)(truth, image))
    assert whole == pytest.approx((48 + 16 * 0.25) / 64)


def test_checkpoint_round_trip(tmp_path, config):
    model = train.build(config)
    model.optimizer.build(model.trainable_variables)
    assert Checkpoint(tmp_path / "c.npz").restore(model) == 0
    checkpoint = Checkpoint(tmp_path / "c.npz")
    checkpoint.set_model(model)
    before = [keras.ops.convert_to_numpy(v) for v in model.variables]
    checkpoint.on_epoch_end(4)
    for variable in model.variables:
        variable.assign(keras.ops.zeros_like(variable))
    assert checkpoint.restore(model) == 5
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert [path.name for path in tmp_path.glob("*.npz")] == ["c.npz"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_the_program_trains_denoising_from_the_command_line(tmp_path, backend):
    pytest.importorskip(backend)
    command = [
        *(sys.executable, "pipelines/train.py", "--task", "denoise"),
        *("--model", "convnet", "--steps", "20"),
        *("--batch-size", "4", "--patch-size", "24", "--sigma", "0", "55"),
        *("--data", "sample", "--validation", "sample", "--validation-images", "1"),
        *("--out", str(tmp_path / "run")),
    ]
    environment = {"KERAS_BACKEND": backend, "PATH": "", "HOME": str(tmp_path)}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=400)
    rows = History.read(tmp_path / "run" / "log.csv")
    assert rows[-1]["step"] == "20"
    assert float(rows[-1]["val_psnr"]) > 10
    assert list((tmp_path / "run" / "tensorboard" / "pictures").glob("*tfevents*"))
    again = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert again.returncode == 1 and "holds a run already" in again.stderr
