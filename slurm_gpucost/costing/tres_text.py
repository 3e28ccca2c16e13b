"""Slurm's texts about TRES as numbers: AllocTRES, and TRESBillingWeights. Pure, exact."""

from __future__ import annotations

import re
from fractions import Fraction

from slurm_gpucost.costing.tres import GB, MAX, NAME, Prices

_VALUE = re.compile(r"(\d{1,20}(?:\.\d{1,9})?)([KMGTP]?)", re.ASCII)
_SUFFIXES = "KMGTP"


def allocated(text: str) -> dict[str, Fraction]:
    """AllocTRES as numbers: counts, and MiB of ``mem`` and ``bb``. Raises ValueError naming a part of another form."""
    found: dict[str, Fraction] = {}
    for part in text.split(",") if text else ():
        name, _, value = part.partition("=")
        form = _VALUE.fullmatch(value)
        if not form or not name:
            raise ValueError(f"AllocTRES: '{part}' is not NAME=NUMBER")
        found[name] = Fraction(form[1]) * _unit(name, form[2])
    return found


def billing_weights(text: str, flag: str = "") -> Prices:
    """Slurm's TRESBillingWeights as a list of billing units; ``flag``: '', ``MAX_TRES`` or ``MAX_TRES_GRES``.

    As tres.html and assoc_mgr_tres_weighted() have it, but that a GPU with a weight for its type counts once: Slurm
    adds ``gres/gpu`` and ``gres/gpu:TYPE``. Raises ValueError naming a weight of another form.
    """
    weights: dict[str, Fraction] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        kind, slash, rest = name.partition("/")
        name, form = f"{kind.lower()}{slash}{rest}", _VALUE.fullmatch(value)
        if not form or not NAME.fullmatch(name):
            raise ValueError(f"TRESBillingWeights: '{part}' is not TRES=WEIGHT")
        scale = GB if kind.lower() in ("mem", "bb") else 1
        weights[name] = Fraction(form[1]) / _unit(name, form[2]) * scale
    weights.pop("billing", None)
    alone = [name for name in weights if name in ("cpu", "mem", "node") or name.startswith("gres/")]
    grouped = [name for name in alone if flag == "MAX_TRES_GRES" and name.startswith("gres/")]
    if not flag:
        return Prices((weights,), truncate=True)
    groups = tuple({name: weights[name]} for name in alone if name not in grouped)
    beside = {name: weight for name, weight in weights.items() if name in grouped or name not in alone}
    return Prices(groups, MAX, beside, truncate=True)


def _unit(name: str, suffix: str) -> Fraction:
    base = "M" if name == "mem" or name.startswith("bb/") else ""
    power = (_SUFFIXES.index(suffix) + 1 if suffix else 0) - (_SUFFIXES.index(base) + 1 if base and suffix else 0)
    return Fraction(1024) ** power
