"""Rows of ``sacct -X -D -P``, of every Slurm from 22.05 to 26.05, in any order of columns, to evidence.

Times are epoch seconds (SLURM_TIME_FORMAT=%s) or ISO local. sacct does not escape, and Slurm lets a job's name and
wckey hold newlines and separators (seen on 22.05 and 24.11): a user could forge rows. So a live reply is asked for
with a separator that nobody can know beforehand, and is cut by it, not by lines; the command line that we print for
saved files leaves free text out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from zoneinfo import ZoneInfo

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.domain.evidence import AccountingRow, digest_of
from slurm_gpucost.domain.tres import gpu_gres
from slurm_gpucost.sources.accounting_times import (
    BrokenRow,
    duration_ms,
    elapsed_ms,
    is_number,
    span_ms,
    submit_ms,
    times_ms,
)

UNIT_SEPARATOR = "\x1f"
FREE_TEXT = ("JobName", "WCKey")
"""What users write as they like."""
FIELDS = (
    "JobIDRaw,JobID,Cluster,DBIndex,Submit,Eligible,Start,End,ElapsedRaw,Suspended,State,ExitCode,"
    "User,Account,Partition,QOS,JobName,WCKey,NodeList,AllocTRES,Reservation,NNodes"
).split(",")
"""What we ask for. The last is a number, so the first newline after it ends the record, whatever names hold."""
REQUIRED = ("JobIDRaw", "Submit", "Start", "End", "ElapsedRaw", "State", "User", "Account", "AllocTRES")
_AT_SUSPENDED = AccountingRow._fields.index("suspended_ms") - AccountingRow._fields.index("db_index")
_LABEL = re.compile(r"(?P<job>\d{1,15})(?:_(?P<task>\d{1,15}))?(?:\+(?P<offset>\d{1,15}))?$", re.ASCII)


class HeaderError(SourceError):
    """The first line is no header that we can work with."""


def separator_of(header: str) -> str:
    """The separator that a saved file's header line shows."""
    return UNIT_SEPARATOR if UNIT_SEPARATOR in header else "|"


def columns_of(header: str) -> list[str]:
    """The column names of a saved file's header line."""
    names = header.rstrip("\r\n").split(separator_of(header))
    return names[:-1] if names and not names[-1] else names


def cut(reply: str, separator: str) -> Iterator[list[str]]:
    """The records of a live reply, its header line included, cut by the unforgeable ``separator`` alone.

    They have as many fields as the header, which nobody can put a newline into. Raises BrokenRow where the reply does
    not end with a whole record: then nothing in it can be trusted.
    """
    header = reply.partition("\n")[0].split(separator)
    width = len(header)
    pieces = reply.split(separator)
    if len(pieces) == 1 and not reply.strip():
        return
    if header[-1] != FIELDS[-1] or (len(pieces) - 1) % (width - 1):
        raise BrokenRow(f"sacct's reply has {len(pieces)} pieces, not whole records of {width}")
    first = pieces[0]
    for at in range(1, len(pieces), width - 1):
        last, _, following = pieces[at + width - 2].partition("\n")
        yield [first, *pieces[at : at + width - 2], last]
        first = following


def make_parser(
    names: list[str], *, cluster: str, zone: ZoneInfo, observed_at_ms: int, current: bool
) -> Callable[[list[str]], AccountingRow | None]:
    """A parser for rows under these column names: an AccountingRow, None for a step's row, or BrokenRow raised.

    ``cluster`` stands in where the file has no Cluster column. ``current``: the reply tells the state of now, so
    a running row's time of observation is the poll's and need not be part of what was said.
    """
    width = len(names)
    at = {name.lower(): i for i, name in enumerate(names)}
    missing = [name for name in REQUIRED if name.lower() not in at]
    if missing:
        raise HeaderError(
            f"the header line lacks {', '.join(missing)}; `gpucost backfill --print-command` prints the sacct "
            "command line that writes such a file"
        )
    (i_job, i_submit, i_start, i_end, i_elapsed, i_state, i_user, i_account, i_tres) = (at[n.lower()] for n in REQUIRED)
    i_cluster, i_label, i_dbindex = at.get("cluster"), at.get("jobid"), at.get("dbindex")
    i_eligible, i_suspended, i_exit = at.get("eligible"), at.get("suspended"), at.get("exitcode")
    i_partition, i_qos, i_wckey = at.get("partition"), at.get("qos"), at.get("wckey")
    i_nodes, i_nodelist, i_name = at.get("nnodes"), at.get("nodelist"), at.get("jobname")
    i_reservation = at.get("reservation")

    def parse(parts: list[str]) -> AccountingRow | None:
        if len(parts) == width + 1 and not parts[-1]:
            parts.pop()  # sacct -p ends each line with a separator
        if len(parts) != width:
            raise BrokenRow(
                f"has {len(parts)} columns where the header has {width}; a name may hold the separator: "
                "`gpucost backfill --print-command` prints a command line that writes the file safely"
            )
        raw = parts[i_job]
        if not is_number(raw):
            if "." in raw and raw.partition(".")[0].isdigit():
                return None
            raise BrokenRow(f"JobIDRaw '{raw}' is no number")
        job_id = int(raw)
        row_cluster = (parts[i_cluster] if i_cluster is not None else "") or cluster
        submit = submit_ms(parts[i_submit], zone)
        elapsed = elapsed_ms(parts[i_elapsed])
        suspended = duration_ms(parts[i_suspended]) if i_suspended is not None else 0
        start, end = span_ms(parts[i_start], parts[i_end], elapsed, suspended, zone)
        if elapsed == 0 and i_nodelist is not None and parts[i_nodelist] == "None assigned":
            start = None  # 22.05 gives a job that was cancelled while pending a Start, its End
        state, _, rest = parts[i_state].partition(" ")
        cancelled_by = int(rest[3:]) if rest.startswith("by ") and is_number(rest[3:]) else None
        array_id = task_id = het_id = het_offset = None
        if i_label is not None and parts[i_label] != raw:
            array_id, task_id, het_id, het_offset = _labels(parts[i_label])
        tres = parts[i_tres]
        try:
            gpu_gres(tres)
        except ValueError as error:
            raise BrokenRow(str(error)) from None
        eligible = times_ms(parts[i_eligible], zone) if i_eligible is not None else ()
        said = (
            parts[i_dbindex] if i_dbindex is not None else None,
            parts[i_user], parts[i_account],
            parts[i_partition] if i_partition is not None else "",
            parts[i_qos] if i_qos is not None else "",
            parts[i_wckey] if i_wckey is not None else "",
            parts[i_name] if i_name is not None else "",
            array_id, task_id, het_id, het_offset, state, cancelled_by,
            parts[i_exit] if i_exit is not None else "",
            eligible[0] if eligible else None,
            start, end, None if end is None else elapsed, suspended,
            int(parts[i_nodes]) if i_nodes is not None and is_number(parts[i_nodes]) else 0,
            parts[i_nodelist] if i_nodelist is not None else "",
            tres,
        )  # fmt: skip
        seen = observed_at_ms if end is None and not current else None
        content: tuple[object, ...] = said
        if state == "SUSPENDED" and end is None:
            # Suspended grows with every look and ElapsedRaw stands still (22.05 to 26.05): that is what is said.
            content = (*said[:_AT_SUSPENDED], elapsed, *said[_AT_SUSPENDED + 1 :])
        reservation = parts[i_reservation] if i_reservation is not None else ""
        if reservation:  # what a file without that column says of other jobs stays the same evidence
            content = (*content, reservation)
        return AccountingRow(row_cluster, job_id, submit, digest_of(content, seen), observed_at_ms, *said, reservation)

    return parse


@lru_cache(maxsize=4096)
def _labels(label: str) -> tuple[int | None, int | None, int | None, int | None]:
    """(array job id, array task id, het job id, het offset) of a JobID like ``12_3`` or ``12+1``."""
    found = _LABEL.match(label)
    if not found:
        return None, None, None, None
    job, task, offset = int(found["job"]), found["task"], found["offset"]
    return (
        job if task else None,
        int(task) if task else None,
        job if offset else None,
        int(offset) if offset else None,
    )
