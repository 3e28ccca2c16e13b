"""Questions with names: what the commands show, asked of a ledger here or by a collector, with the asker's rights."""

from __future__ import annotations

from slurm_gpucost.services.named.model import Answer, Asked, Param, Query
from slurm_gpucost.services.named.registry import QUERIES, allow, answer

__all__ = ["QUERIES", "Answer", "Asked", "Param", "Query", "allow", "answer"]
