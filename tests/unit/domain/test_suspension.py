"""Where suspended time lies: what the controller saw, within the length that the accounting says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import AccountingRow, ControllerRow
from slurm_gpucost.domain.projection import project
from slurm_gpucost.domain.units import OPEN_END_MS
from tests.unit.builders import NOTHING, T0, accounting, controller, evidence, gpus

ONE = "gres/gpu:a100=1,gres/gpu=1"


def looked(at: int, state: str, changed: int | None, ran: int = 0) -> ControllerRow:
    moment = None if changed is None else T0 + changed * 1000
    return controller(at, [gpus("n1", 0)], -5, 0, state=state, suspend_ms=moment, ran_ms=ran * 1000)


def parts(*said: AccountingRow | ControllerRow) -> list[tuple[int, int | None, str]]:
    """(start, end, suspended) in seconds after T0."""
    leases = sorted(project(evidence(*said), NOTHING).leases, key=lambda x: x.start_ms)
    return [
        ((x.start_ms - T0) // 1000, None if x.end_ms == OPEN_END_MS else (x.end_ms - T0) // 1000, x.suspended)
        for x in leases
    ]


def test_moments_that_the_controller_saw() -> None:
    ended = accounting(0, 100, tres=ONE, suspended=30)
    assert parts(ended, looked(25, "SUSPENDED", 20, 20), looked(60, "RUNNING", 50, 20)) == [
        (0, 20, ""), (20, 50, "seen"), (50, 100, ""),
    ]  # fmt: skip
    # The accounting's length stands: 4 s nobody saw, and what was seen too long is cut.
    seen = looked(25, "SUSPENDED", 20, 20), looked(60, "RUNNING", 50, 20)
    assert parts(accounting(0, 100, tres=ONE, suspended=34), *seen) == [
        (0, 20, ""), (20, 50, "seen"), (50, 96, ""), (96, 100, "inferred"),
    ]  # fmt: skip
    assert parts(accounting(0, 100, tres=ONE, suspended=29), *seen)[1] == (20, 49, "seen")


def test_a_resumed_job_tells_how_long_it_was_suspended_before() -> None:
    assert parts(accounting(0, 100, tres=ONE, suspended=30), looked(60, "RUNNING", 50, 20)) == [
        (0, 20, ""), (20, 50, "inferred"), (50, 100, ""),
    ]  # fmt: skip


def test_cancelled_while_suspended() -> None:
    # Slurm then gives as End the moment of suspension, and no length (22.05 to 26.05): nothing is unbilled.
    assert parts(accounting(0, 20, tres=ONE), looked(25, "SUSPENDED", 20, 20)) == [(0, 20, "")]


def test_a_job_that_is_suspended_now() -> None:
    stopped = accounting(0, None, tres=ONE, suspended=5, state="SUSPENDED", observed_at_ms=T0 + 25_000)
    assert parts(stopped) == [(0, 20, ""), (20, None, "inferred")]
    assert parts(stopped, looked(26, "SUSPENDED", 20, 20)) == [(0, 20, ""), (20, None, "seen")]
    # The controller is ahead of the accounting: it has seen it resumed, or suspended.
    assert parts(stopped, looked(26, "SUSPENDED", 20, 20), looked(40, "RUNNING", 35, 20)) == [
        (0, 20, ""), (20, 35, "seen"), (35, None, ""),
    ]  # fmt: skip
    running = accounting(0, None, tres=ONE, observed_at_ms=T0 + 10_000)
    assert parts(running, looked(26, "SUSPENDED", 20, 20)) == [(0, 20, ""), (20, None, "seen")]
    again = accounting(0, None, tres=ONE, suspended=7, observed_at_ms=T0 + 30_000)
    assert parts(again) == [(0, 23, ""), (23, 30, "inferred"), (30, None, "")]


@given(st.data())
def test_unbilled_time_is_what_the_accounting_says_whatever_the_controller_saw(data: st.DataObject) -> None:
    """A job is suspended and resumed at random; the controller looks at random."""
    moments = sorted(data.draw(st.sets(st.integers(1, 99), max_size=8)))
    changes = moments[: len(moments) // 2 * 2]
    stops = list(zip(changes[::2], changes[1::2], strict=True))
    said: list[AccountingRow | ControllerRow] = []
    for at in data.draw(st.sets(st.integers(0, 100), max_size=6)):
        before = [m for m in changes if m <= at]
        suspended = len(before) % 2 == 1
        ran = sum(1 for t in range(before[-1] if before else 0) if not any(low <= t < high for low, high in stops))
        if before and not suspended:  # what it had run before the last suspension
            ran = sum(1 for t in range(before[-2]) if not any(low <= t < high for low, high in stops))
        said.append(looked(at, "SUSPENDED" if suspended else "RUNNING", before[-1] if before else None, ran))
    length = sum(high - low for low, high in stops)
    found = parts(accounting(0, 100, tres=ONE, suspended=length), *data.draw(st.permutations(said)))
    assert [start for start, _, _ in found[1:]] == [end for _, end, _ in found[:-1]]
    assert (found[0][0], found[-1][1]) == (0, 100)
    assert sum((end or 0) - start for start, end, kind in found if kind) == length
    for start, end, kind in found:
        if kind == "seen":
            assert any(low <= start and (end or 0) <= high for low, high in stops), "seen is true"
