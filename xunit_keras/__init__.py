"""Efficient image restoration for Keras 3, built on the `XUnit` activation."""

import os
import sys
from pathlib import Path

# TensorFlow turns oneDNN on by itself only on processors with VNNI or AMX; on the
# others convolutions are two to four times faster with it. It looks when it is first
# imported, so import this package before Keras. Yours wins if set.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

# Importing the package registers its layers with Keras. The command line alone puts
# that off, or its help would wait for TensorFlow.
if Path(sys.argv[0]).stem != "xunit-keras":
    from xunit_keras.budget import ParameterCount, count_parameters
    from xunit_keras.checkpoints import load_checkpoint
    from xunit_keras.exports import Verification, export
    from xunit_keras.inspection import ActivationMaps, activation_maps
    from xunit_keras.layers import (
        BatchNormalization,
        BicubicUpsampling,
        CentreImpulse,
        LargeKernelDepthwiseConv2D,
        XUnit,
    )
    from xunit_keras.models import (
        convnet,
        derainnet,
        dncnn,
        srcnn,
        srresnet,
        xderain,
        xdncnn,
        xnet,
        xsrcnn_c,
        xsrcnn_f,
        xsrresnet,
    )
    from xunit_keras.restoration import restore
    from xunit_keras.surgery import Replacement, replace_activations
    from xunit_keras.zoo import card, list_models, load

__version__ = "0.1.0"

__all__ = [
    "ActivationMaps",
    "BatchNormalization",
    "BicubicUpsampling",
    "CentreImpulse",
    "LargeKernelDepthwiseConv2D",
    "ParameterCount",
    "Replacement",
    "Verification",
    "XUnit",
    "activation_maps",
    "card",
    "convnet",
    "count_parameters",
    "derainnet",
    "dncnn",
    "export",
    "list_models",
    "load",
    "load_checkpoint",
    "replace_activations",
    "restore",
    "srcnn",
    "srresnet",
    "xderain",
    "xdncnn",
    "xnet",
    "xsrcnn_c",
    "xsrcnn_f",
    "xsrresnet",
]
