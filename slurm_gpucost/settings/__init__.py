"""The config: found, read, checked. What a setting means stands once, in :mod:`slurm_gpucost.settings.catalogue`."""

from __future__ import annotations

from slurm_gpucost.settings.load import load
from slurm_gpucost.settings.model import Pool, Settings, Sku
from slurm_gpucost.settings.reader import find
from slurm_gpucost.settings.template import parse_gpu_option, template

__all__ = ["Pool", "Settings", "Sku", "find", "load", "parse_gpu_option", "template"]
