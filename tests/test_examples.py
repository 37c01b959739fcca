"""The examples run, and compare what they say they compare."""

import keras
import numpy as np
import pytest
from networks import noisy

from examples import unet_denoiser
from xunit_keras import count_parameters
from xunit_keras.graphs.receptive_field import receptive_field


def test_the_unets_are_of_one_size_and_start_from_the_image_as_it_came():
    models = [build() for build in unet_denoiser.NETWORKS.values()]
    with_units, with_relu = (count_parameters(model) for model in models)
    assert with_units.total < with_relu.total < 1.04 * with_units.total
    assert with_units.activations > 0 == with_relu.activations
    image = noisy(1, 16, 24, 1)
    for model in models:
        result = keras.ops.convert_to_numpy(model(image))
        np.testing.assert_array_equal(result, image)
        assert receptive_field(model).stride == 4


@pytest.mark.slow
def test_the_unets_learn(capsys):
    unet_denoiser.main(["--seconds", "10"])
    before, *after = capsys.readouterr().out.splitlines()
    before = float(before.split()[-2])
    assert before == pytest.approx(20.6, abs=0.1)
    assert [line.split(":")[0] for line in after] == ["XUnit", "ReLU"]
    for line in after:
        assert float(line.split()[-2]) > before + 2
