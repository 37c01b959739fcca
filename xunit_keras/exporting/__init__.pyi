from .engines import open_model
from .exporting import Verification, export, write

__all__ = ["Verification", "export", "open_model", "write"]
