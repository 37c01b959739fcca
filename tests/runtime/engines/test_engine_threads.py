"""Threads that share a runner get what one thread gets."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from networks import as_trained, noisy

import xunit_keras
from xunit_keras.exporting import open_model
from xunit_keras.runtime import engines
from xunit_keras.runtime.engines.base import PREPARED_SHAPES, Pool

THREADS, ROUNDS = 8, 5
# One shape more than engines stay prepared for.
SHAPES = [(1, 24, 30, 1), (1, 30, 24, 1), (2, 17, 19, 1)]
assert len(SHAPES) > PREPARED_SHAPES


def in_threads(work, count=THREADS):
    """The results of `work(number)` in threads that start at the same moment."""
    barrier = threading.Barrier(count)

    def started(number):
        barrier.wait(timeout=60)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(started, range(count)))


@pytest.fixture(scope="module")
def denoiser():
    return as_trained(xunit_keras.xdncnn(depth=3, filters=8))


@pytest.fixture(scope="module")
def opened(denoiser):
    """The runner of an engine, fresh for the first test that asks for it."""
    return functools.cache(lambda engine: open_model(denoiser, engine))


@pytest.fixture(scope="module")
def images():
    """Different images, of shapes that change from one to the next."""
    return [noisy(*shape) + k / 8 for k in range(4) for shape in SHAPES]


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_eight_threads_on_one_runner(engine, opened, images):
    run = opened(engine)

    def work(number):
        turns = [(number + turn) % len(images) for turn in range(ROUNDS)]
        return [(k, run(images[k])) for k in turns]

    # The first runs too, which prepare the engine, are those of the threads.
    results = in_threads(work)
    alone = [run(image) for image in images]
    assert len({result.tobytes() for result in alone}) == len(images)
    for k, result in (pair for pairs in results for pair in pairs):
        np.testing.assert_array_equal(result, alone[k])


@pytest.mark.parametrize("engine", ["litert", "openvino"])
def test_two_shapes_at_once(engine, opened, images):
    """Each thread stays with its shape, while others run another."""
    run = opened(engine)
    alone = [run(image) for image in images]

    def work(number):
        mine = images[number % 2 :: len(SHAPES)]
        return [(image, run(image)) for image in mine * 2]

    for image, result in (pair for pairs in in_threads(work) for pair in pairs):
        (expected,) = (alone[k] for k, other in enumerate(images) if other is image)
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("engine", engines.ENGINES)
def test_a_runner_outlives_an_image_that_it_refuses(engine, opened, images):
    run = opened(engine)
    expected = run(images[0])
    with pytest.raises(Exception):  # noqa: B017 - each engine has its own
        run(np.zeros((1, 8, 8, 3), np.float32))
    np.testing.assert_array_equal(run(images[0]), expected)


def test_threads_open_models_at_once(denoiser, images):
    def work(number):
        return open_model(denoiser, "litert", 1)(images[0])

    first, *others = in_threads(work, 4)
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.slow
def test_eight_threads_on_jax(tmp_path, denoiser, images, run_python):
    pytest.importorskip("jax")
    denoiser.save(tmp_path / "model.keras")
    np.savez(tmp_path / "images.npz", *images)
    run_python(
        "-c",
        "import sys; sys.path.insert(0, 'tests/runtime/engines')\n"
        "sys.path.insert(0, 'tests')\n"
        "import numpy as np, xunit_keras\n"
        "from test_engine_threads import in_threads\n"
        "from xunit_keras.exporting import open_model\n"
        f"model = xunit_keras.load({str(tmp_path / 'model.keras')!r})\n"
        f"images = list(np.load({str(tmp_path / 'images.npz')!r}).values())\n"
        "run = open_model(model)\n"
        "results = in_threads(lambda k: [run(x) for x in images[k:] + images[:k]])\n"
        "alone = [run(x) for x in images]\n"
        "for k, mine in enumerate(results):\n"
        "    for a, b in zip(mine, alone[k:] + alone[:k], strict=True):\n"
        "        np.testing.assert_array_equal(a, b)\n",
        KERAS_BACKEND="jax",
    )


def test_a_pool_lends_a_thing_once():
    made = []
    pool = Pool(lambda: made.append(0) or len(made))
    with pool.borrowed() as first, pool.borrowed() as second:
        assert (first, second) == (1, 2)
    with pool.borrowed() as again:
        assert again == 1 or again == 2
    with pytest.raises(KeyError), pool.borrowed() as broken:
        raise KeyError
    taken = []
    with pool.borrowed() as one, pool.borrowed() as other:
        taken = [one, other]
    assert broken not in taken  # What failed does not come back.
    assert len(made) == 3
