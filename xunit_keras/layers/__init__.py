"""The layers: the activation and what the networks around it need."""

from xunit_keras.layers.bicubic import BicubicUpsampling
from xunit_keras.layers.depthwise import LargeKernelDepthwiseConv2D
from xunit_keras.layers.initializers import CentreImpulse, ZeroMeanHeNormal
from xunit_keras.layers.normalization import BatchNormalization
from xunit_keras.layers.xunit import XUnit

__all__ = [
    "BatchNormalization",
    "BicubicUpsampling",
    "CentreImpulse",
    "LargeKernelDepthwiseConv2D",
    "XUnit",
    "ZeroMeanHeNormal",
]
