"""The losses against NumPy."""

import keras
import numpy as np
import pytest
from networks import noisy

from xunit_keras.losses import CenterMeanAbsoluteError, CenterMeanSquaredError

MEASURES = {CenterMeanSquaredError: np.square, CenterMeanAbsoluteError: np.abs}


@pytest.mark.parametrize("margin", [0, 1, 3])
@pytest.mark.parametrize("kind", MEASURES)
def test_mean_over_what_is_inside(kind, margin):
    true, predicted = noisy(2, 9, 8, 3), 0.5 * noisy(2, 9, 8, 3) + 0.1
    inside = (true - predicted)[:, margin : 9 - margin, margin : 8 - margin]
    expected = MEASURES[kind](inside.astype("float64")).mean()
    assert float(kind(margin)(true, predicted)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", MEASURES)
def test_configuration(kind):
    loss = keras.losses.deserialize(keras.losses.serialize(kind(2)))
    assert type(loss) is kind
    assert loss.margin == 2
    with pytest.raises(ValueError, match=r"at least 0\. Received: margin=-1"):
        kind(-1)
