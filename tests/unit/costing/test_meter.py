from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.meter import Meter, Part, reconcile

KWH = 3_600_000_000
ENERGIES = st.one_of(st.integers(0, 10**16), st.fractions(0, 10**16))


def test_a_bill_taken_apart() -> None:
    # 10,000 kWh for 2,500: 0.25 each. Devices 5000 kWh, unmeasured ones 400, hosts 600, PUE 1.5: 3000 of losses.
    meter = Meter("2026-10", Fraction(10_000), Fraction(2500))
    found = reconcile(meter, 5000 * KWH, 400 * KWH, 600 * KWH, Fraction(3, 2))
    assert found._asdict() == {
        "bill": Part(Fraction(10_000), Fraction(2500)),
        "measured": Part(Fraction(5000), Fraction(1250)),
        "imputed": Part(Fraction(400), Fraction(100)),
        "overhead": Part(Fraction(600), Fraction(150)),
        "losses": Part(Fraction(3000), Fraction(750)),
        "difference": Part(Fraction(1000), Fraction(250)),
    }
    assert found.unmeasured == Part(Fraction(4000), Fraction(1000))


def test_assumptions_above_the_bill_are_a_negative_difference() -> None:
    found = reconcile(Meter("2026-10", Fraction(100), Fraction(30)), 90 * KWH, 0, 0, Fraction(4, 3))
    assert found.difference == Part(Fraction(-20), Fraction(-6))


@given(
    st.fractions(Fraction(1, 100), 10**7),
    st.fractions(-(10**7), 10**7),
    ENERGIES,
    ENERGIES,
    ENERGIES,
    st.fractions(1, 3),
)
def test_measured_unmeasured_and_difference_are_the_bill_in_energy_and_money(
    kwh: Fraction,
    amount: Fraction,
    measured: int | Fraction,
    imputed: int | Fraction,
    overhead: int | Fraction,
    pue: Fraction,
) -> None:
    found = reconcile(Meter("2026-10", kwh, amount), measured, imputed, overhead, pue)
    parts = (found.measured, found.unmeasured, found.difference)
    assert (sum(part.kwh for part in parts), sum(part.amount for part in parts)) == (kwh, amount)
    assert found.measured.kwh == Fraction(measured, KWH), "a PUE makes nothing measured that was not"
    modelled = (Fraction(measured) + imputed + overhead) * pue / KWH
    assert found.difference.kwh == kwh - modelled


def test_what_makes_no_sense_is_refused() -> None:
    good = Meter("2026-10", Fraction(100), Fraction(30))
    with pytest.raises(ValueError, match="the meter of 2026-10 says 0 kWh; without energy a bill has no mean price"):
        reconcile(Meter("2026-10", Fraction(0), Fraction(30)), 0, 0, 0, Fraction(1))
    with pytest.raises(ValueError, match="PUE is 9/10"):
        reconcile(good, 0, 0, 0, Fraction(9, 10))
    with pytest.raises(ValueError, match="imputed_mj is -1"):
        reconcile(good, 0, -1, 0, Fraction(1))
    with pytest.raises(TypeError, match="pue must be an int or a Fraction, not float"):
        reconcile(good, 0, 0, 0, 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="kwh must be"):
        reconcile(Meter("2026-10", 1.5, Fraction(30)), 0, 0, 0, Fraction(1))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="overhead_mj must be"):
        reconcile(good, 0, 0, 1e9, Fraction(1))  # type: ignore[arg-type]
