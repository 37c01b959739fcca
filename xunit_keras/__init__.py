"""Efficient image restoration for Keras 3, built on the `XUnit` activation."""

import os

# TensorFlow turns oneDNN on by itself only on processors with VNNI or AMX; on the
# others its depthwise convolution is four times faster with it. Yours wins if set.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

from xunit_keras.budget import ParameterCount, count_parameters  # noqa: E402
from xunit_keras.layers import (  # noqa: E402
    BatchNormalization,
    BicubicUpsampling,
    CentreImpulse,
    LargeKernelDepthwiseConv2D,
    XUnit,
)
from xunit_keras.models import (  # noqa: E402
    convnet,
    derainnet,
    dncnn,
    srcnn,
    xderain,
    xdncnn,
    xnet,
    xsrcnn_c,
    xsrcnn_f,
)
from xunit_keras.zoo import card, list_models, load  # noqa: E402

__version__ = "0.1.0"

__all__ = [
    "BatchNormalization",
    "BicubicUpsampling",
    "CentreImpulse",
    "LargeKernelDepthwiseConv2D",
    "ParameterCount",
    "XUnit",
    "card",
    "convnet",
    "count_parameters",
    "derainnet",
    "dncnn",
    "list_models",
    "load",
    "srcnn",
    "xderain",
    "xdncnn",
    "xnet",
    "xsrcnn_c",
    "xsrcnn_f",
]
