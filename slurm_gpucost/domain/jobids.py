"""sacct's -j: job numbers, and tasks of arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from slurm_gpucost.domain.errors import UsageError

_ID = re.compile(r"(\d{1,18})(?:_(\d{1,18}))?")


class JobId(NamedTuple):
    """A job, or one task of an array."""

    number: int
    task: int | None


def parse(values: Iterable[str]) -> list[JobId]:
    """``123`` or ``123_4``. Raises UsageError for steps, components and what is no job id."""
    found: list[JobId] = []
    for value in values:
        match = _ID.fullmatch(value)
        if not match:
            hint = "; GPUs are accounted by job, not by step" if "." in value else ""
            hint = "; give the component's own number (JobIDRaw)" if "+" in value else hint
            raise UsageError(f"-j {value}: write a job's number, like 123, or an array's task, like 123_4{hint}")
        found.append(JobId(int(match[1]), None if match[2] is None else int(match[2])))
    return found


def matches(attempt: Mapping[str, Any], wanted: Iterable[JobId]) -> bool:
    """Whether an attempt is of one of the jobs: its own number, its array's, or that task of its array."""
    own, array, task = int(attempt["job_id"]), attempt["array_job_id"], attempt["array_task_id"]
    return any(number in (own, array) if one is None else (array, task) == (number, one) for number, one in wanted)
