"""What the collector counts of its own work, in Prometheus's kinds."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

from slurm_gpucost.domain.units import MS
from slurm_gpucost.domain.wire import Batch
from slurm_gpucost.services.intake import Outcome

_LAG = (1, 2, 5, 10, 30, 60, 300, 3600, 86400)
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Numbers:
    """Counters and histograms since the start, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._batches = Counter(
            "gpucost_batches", "Batches of nodes that were answered, by status.", ["status"], registry=self.registry
        )
        self._rows = Counter(
            "gpucost_rows", "Rows of batches, taken in or set aside.", ["outcome"], registry=self.registry
        )
        self._lag = Histogram(
            "gpucost_ingest_lag_seconds",
            "Age of the newest fact in a batch when it was durable here.",
            buckets=_LAG,
            registry=self.registry,
        )
        self._turned_away = Counter(
            "gpucost_turned_away", "Requests that were refused before their content was looked at, by why.", ["reason"],
            registry=self.registry,
        )  # fmt: skip
        self._queries = Histogram(
            "gpucost_query_seconds", "Questions by name and status, with their wait for a turn.", ["query", "status"],
            buckets=_SECONDS, registry=self.registry,
        )  # fmt: skip

    def batch(self, batch: Batch, outcome: Outcome, now_ms: int) -> None:
        """A batch is durable, or refused with a reason."""
        self._batches.labels(str(outcome.status)).inc()
        self._rows.labels("taken").inc(outcome.rows)
        self._rows.labels("set aside").inc(outcome.refused)
        newest = _newest_ms(batch)
        if outcome.status == 200 and newest is not None:
            self._lag.observe(max(0.0, (now_ms - newest) / MS))

    def turned_away(self, reason: str) -> None:
        """A request was refused unread."""
        self._turned_away.labels(reason).inc()

    def query(self, name: str, status: int, seconds: float) -> None:
        """A question was answered, with whatever status."""
        self._queries.labels(name, str(status)).observe(seconds)


def _newest_ms(batch: Batch) -> int | None:
    moments = [row.at_ms for row in batch.rows.get("hook_event", ())]
    moments += [row.end_ms for row in batch.rows.get("usage_window", ())]
    return max(moments, default=None)
