"""Rows on stdout, in the form that sacct's and sreport's letters ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slurm_gpucost.cli.run import emit

if TYPE_CHECKING:
    from slurm_gpucost.documents.table import Column, Row


def print_rows(
    columns: Sequence[Column], rows: Sequence[Row], *, noheader: bool, parsable: bool, parsable2: bool, above: str = ""
) -> None:
    """A table, or cells between bars; ``above`` stands before a heading."""
    from slurm_gpucost.documents import table

    header = not noheader
    text = above if header else ""
    if parsable or parsable2:
        text += table.parsable(columns, rows, ending=not parsable2, header=header)
    else:
        text += table.table(columns, rows, header=header)
    emit(text)
