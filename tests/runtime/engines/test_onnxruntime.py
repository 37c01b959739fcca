"""What ONNX Runtime leaves as it was."""


def test_the_arithmetic_of_the_process_stays_as_it_was(run_python):
    """Also the numbers near zero, which the session itself takes for zero."""
    run_python(
        "-c",
        "import numpy as np, xunit_keras\n"
        "image = np.zeros((9, 8), np.uint8)\n"
        "xunit_keras.restore(image, 'xsrcnn-f-x2')\n"
        "assert (np.array([1e-310]) * 1.0)[0] > 0\n",
    )
