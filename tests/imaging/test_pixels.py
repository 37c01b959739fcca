import numpy as np
import pytest

from xunit_keras.imaging.pixels import from_float, to_float


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_sample_survives_the_conversion(dtype):
    white = np.iinfo(dtype).max
    samples = np.arange(white + 1, dtype=dtype)
    floats = to_float(samples)
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, np.arange(white + 1.0) / white, rtol=1e-7)
    back = from_float(floats, dtype)
    assert back.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(back, samples)


def test_from_float_clips_and_rounds():
    values = np.array([[-0.1, 0.499 / 255, 0.501 / 255, 1.0, 1.2, np.inf, -np.inf]])
    kept = values.copy()
    expected = [[0, 0, 1, 255, 255, 255, 0]]
    assert from_float(values, "uint8").tolist() == expected
    np.testing.assert_array_equal(values, kept)
    # Halves that float32 holds exactly are rounded up, not to even.
    assert from_float(np.float32([0.5]), np.uint8).tolist() == [128]
    assert from_float(np.float32([0.5]), np.uint16).tolist() == [32768]
    assert from_float(np.zeros((0, 3)), np.uint8).shape == (0, 3)
    with pytest.raises(ValueError, match="NaN"):
        from_float(np.array([0.1, np.nan]), np.uint8)
    with pytest.raises(ValueError, match="int32"):
        from_float(values, np.int32)
    with pytest.raises(ValueError, match="float32"):
        to_float(np.zeros(3, np.float32))
