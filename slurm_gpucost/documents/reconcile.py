"""What differs between witnesses, as a page of text."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from slurm_gpucost.documents.table import Row
from slurm_gpucost.documents.terminal import safe
from slurm_gpucost.documents.times import with_offset


def page(answer: Row, zone: ZoneInfo) -> str:
    """The page for an answer of the shape that ``gpucost reconcile --json`` prints; times in ``zone``."""
    accuracy = answer["accuracy"]
    out = [f"Reconciliation of {with_offset(answer['start'], zone)} - {with_offset(answer['end'], zone)}", ""]
    out.append(f"  {'allocated by the scheduler':<28}{accuracy['allocated_gpu_seconds']:>20} GPU-seconds")
    difference = accuracy["difference_percent"]
    shown = "" if difference is None else f"  (differs by {difference} %)"
    out.append(f"  {'attributed':<28}{accuracy['attributed_gpu_seconds']:>20} GPU-seconds{shown}")
    named = "" if accuracy["named_percent"] is None else f"  ({accuracy['named_percent']} %)"
    out.append(f"  {'of it to a named device':<28}{accuracy['named_gpu_seconds']:>20} GPU-seconds{named}")
    out.append(f"  {'of it before the prolog':<28}{accuracy['before_prolog_gpu_seconds']:>20} GPU-seconds")
    for title, closed in (("To decide", False), ("Closed by rule", True)):
        some = [c for c in answer["categories"] if bool(c["closed_by"]) is closed]
        out += ["", title if some else f"{title}: nothing."]
        for category in some:
            out += _category(category, zone)
    return "\n".join(out) + "\n"


def _category(category: Row, zone: ZoneInfo) -> list[str]:
    out = [f"  {category['category']}: {category['count']}, {category['gpu_seconds']} GPU-seconds"]
    out.append(f"    {category['means']}")
    if category["closed_by"]:
        out.append(f"    rule: {category['closed_by']}")
    if category["todo"]:
        out.append(f"    to do: {category['todo']}")
    for example in category["examples"]:
        where = [f"job {example['job_id']}"] if example["job_id"] else []
        where += [example["node"]] if example["node"] else []
        where += [with_offset(example["at"], zone), example["detail"]]
        out.append(f"    - {safe(', '.join(part for part in where if part))}")
    return out
