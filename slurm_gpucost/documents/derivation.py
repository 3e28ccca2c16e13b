"""How a rate comes about, step by step: each with its value, its unit, and the file and key that it rests on."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from operator import itemgetter

from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import fit, safe, width

WIDTH = 100


def page(derivation: Row) -> str:
    """One SKU's rate, of the shape that ``gpucost rates explain --json`` prints."""
    steps = derivation["steps"]
    labels = max((width(safe(step["label"])) for step in steps), default=0)
    values = max((len(step["value"]) for step in steps), default=0)
    out = [
        f"{safe(derivation['sku'])} in pool {safe(derivation['pool'])}, {derivation['month']}: "
        f"{derivation['unit_price']} {derivation['currency']} per GPU-hour",
        _standing(derivation),
        "",
    ]
    for number, step in enumerate(steps, 1):
        label = fit(safe(step["label"]), labels)
        out.append(f"{number:>3}. {label}  {step['value']:>{values}} {safe(step['unit'])}")
        if step["formula"].casefold() != step["label"].casefold():
            out.append(f"{'':5}= {safe(step['formula'])}")
        out += _sources(step["sources"])
    out += ["", f"Unrounded: {derivation['rate_exact']} {derivation['currency']} per GPU-hour"]
    out += [f"Note: {safe(note)}" for note in derivation["notes"]]
    return "\n".join(out) + "\n"


def _standing(derivation: Row) -> str:
    if derivation["version"] is None:
        return "Not published: derived from the config as it is now"
    by = f"{derivation['published']} by {safe(derivation['login'])}"
    return f"Version {derivation['version']}, from {derivation['effective']} on; published {by}"


def _sources(sources: Iterable[Row]) -> list[str]:
    """The keys by file, wrapped between keys."""
    lines: list[str] = []
    for file, group in groupby(sources, itemgetter("file")):
        line = f"{'':5}from {safe(file)}:"
        for key in (safe(source["key"]) for source in group):
            if len(line) + len(key) >= WIDTH:
                lines.append(line)
                line = f"{'':9}"
            line += f" {key}"
        lines.append(line)
    return lines


def pages(derivations: Iterable[Row]) -> str:
    """All of them, with a rule between."""
    return f"\n{'=' * 80}\n\n".join(map(page, derivations))
