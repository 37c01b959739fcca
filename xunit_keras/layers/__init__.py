"""The layers: the activation and what the networks around it need."""

from xunit_keras.layers.bicubic import BicubicUpsampling
from xunit_keras.layers.depthwise import LargeKernelDepthwiseConv2D
from xunit_keras.layers.initializers import CenterImpulse, ZeroMeanHeNormal
from xunit_keras.layers.normalization import FusedBatchNormalization
from xunit_keras.layers.xunit import XUnit

__all__ = [
    "BicubicUpsampling",
    "CenterImpulse",
    "FusedBatchNormalization",
    "LargeKernelDepthwiseConv2D",
    "XUnit",
    "ZeroMeanHeNormal",
]
