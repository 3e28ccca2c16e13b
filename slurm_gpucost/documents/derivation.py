"""How a rate comes about, step by step: each with its value, its unit, and the file and key that it rests on."""

from __future__ import annotations

from collections.abc import Iterable

from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import fit, safe, width


def page(derivation: Row) -> str:
    """One SKU's rate, of the shape that ``gpucost rates explain --json`` prints."""
    steps = derivation["steps"]
    labels = max((width(safe(step["label"])) for step in steps), default=0)
    values = max((len(step["value"]) for step in steps), default=0)
    out = [
        f"{safe(derivation['sku'])} in pool {safe(derivation['pool'])}, {derivation['month']}: "
        f"{derivation['unit_price']} {derivation['currency']} per GPU-hour",
        "",
    ]
    for number, step in enumerate(steps, 1):
        label = fit(safe(step["label"]), labels)
        out.append(f"{number:>3}. {label}  {step['value']:>{values}} {safe(step['unit'])}")
        out.append(f"{'':5}= {safe(step['formula'])}")
        out += [f"{'':7}from {safe(source['file'])}: {safe(source['key'])}" for source in step["sources"]]
    out += ["", f"Unrounded: {derivation['rate_exact']} {derivation['currency']} per GPU-hour"]
    out += [f"Note: {safe(note)}" for note in derivation["notes"]]
    return "\n".join(out) + "\n"


def pages(derivations: Iterable[Row]) -> str:
    """All of them, with a rule between."""
    return f"\n{'=' * 80}\n\n".join(map(page, derivations))
