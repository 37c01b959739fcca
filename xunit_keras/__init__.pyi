from . import graphs, imaging, layers, models, runtime, tasks, zoo
from .checkpoints.authors import load_checkpoint
from .choosing import Choice, choose_model
from .exporting.exporting import Verification, export
from .graphs.counting import ParameterCount, count_parameters
from .graphs.inspection import ActivationMaps, activation_maps
from .graphs.receptive_field import receptive_field
from .graphs.surgery import (
    Replacement,
    replace_activations,
    replacement_report,
)
from .layers import (
    BicubicUpsampling,
    CenterImpulse,
    FusedBatchNormalization,
    LargeKernelDepthwiseConv2D,
    XUnit,
    ZeroMeanHeNormal,
)
from .models.convnet import convnet
from .models.derainnet import derainnet
from .models.dncnn import dncnn
from .models.espcn import espcn
from .models.fsrcnn import fsrcnn
from .models.srcnn import srcnn
from .models.srresnet import srresnet
from .models.xderain import xderain
from .models.xdncnn import xdncnn
from .models.xespcn import xespcn, xespcn_l, xespcn_m, xespcn_s
from .models.xnet import xnet
from .models.xsrcnn import xsrcnn_c, xsrcnn_f
from .models.xsrresnet import xsrresnet
from .optimizers import ConvolutionMuon
from .presets import save_to_preset, upload
from .restoration import restore
from .runtime.models import Card, card, list_models
from .zoo import load

__version__: str

__all__ = [
    "ActivationMaps",
    "BicubicUpsampling",
    "Card",
    "CenterImpulse",
    "Choice",
    "ConvolutionMuon",
    "FusedBatchNormalization",
    "LargeKernelDepthwiseConv2D",
    "ParameterCount",
    "Replacement",
    "Verification",
    "XUnit",
    "ZeroMeanHeNormal",
    "activation_maps",
    "card",
    "choose_model",
    "convnet",
    "count_parameters",
    "derainnet",
    "dncnn",
    "espcn",
    "export",
    "fsrcnn",
    "graphs",
    "imaging",
    "layers",
    "list_models",
    "load",
    "load_checkpoint",
    "models",
    "receptive_field",
    "replace_activations",
    "replacement_report",
    "restore",
    "runtime",
    "save_to_preset",
    "srcnn",
    "srresnet",
    "tasks",
    "upload",
    "xderain",
    "xdncnn",
    "xespcn",
    "xespcn_l",
    "xespcn_m",
    "xespcn_s",
    "xnet",
    "xsrcnn_c",
    "xsrcnn_f",
    "xsrresnet",
    "zoo",
]
