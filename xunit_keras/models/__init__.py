"""The networks of the paper and their ReLU counterparts."""

from xunit_keras.models.denoising import convnet, dncnn, xdncnn, xnet
from xunit_keras.models.deraining import derainnet, xderain
from xunit_keras.models.residual import srresnet, xsrresnet
from xunit_keras.models.super_resolution import srcnn, xsrcnn_c, xsrcnn_f

__all__ = [
    "convnet",
    "derainnet",
    "dncnn",
    "srcnn",
    "srresnet",
    "xderain",
    "xdncnn",
    "xnet",
    "xsrcnn_c",
    "xsrcnn_f",
    "xsrresnet",
]
