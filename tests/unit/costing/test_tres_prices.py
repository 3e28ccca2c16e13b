from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.costing.tres import MAX, SUM, Prices, faults, hourly, with_blocked
from slurm_gpucost.costing.tres_text import allocated, billing_weights

# https://slurm.schedmd.com/tres.html, "Billing Weights" and "PriorityFlags"
WEIGHTS = "CPU=1.0,Mem=0.25G,GRES/gpu=2.0,license/licA=1.5"
# https://campus.kennesaw.edu/... /vhpc/vhpc_billing.php: max(GPUs * GPU rate + CPUs * CPU rate, Memory * Memory rate)
KENNESAW = Prices(({"gres/gpu": Fraction("0.12"), "cpu": Fraction("0.03")}, {"mem": Fraction("0.004")}), combine=MAX)


def units(tres: str, weights: str = WEIGHTS, flag: str = "") -> Fraction:
    return hourly(allocated(tres), billing_weights(weights, flag)).amount


def untruncated(tres: str, flag: str = "") -> Fraction:
    return hourly(allocated(tres), billing_weights(WEIGHTS, flag)._replace(truncate=False)).amount


def test_slurms_own_examples() -> None:
    assert untruncated("cpu=1,mem=8G") == 3
    assert untruncated("cpu=1,mem=8G,license/licA=1") == Fraction("4.5")
    assert units("cpu=1,mem=8G,license/licA=1") == 4
    assert units("cpu=1,mem=10G,license/licA=1") == 5
    assert untruncated("cpu=1,mem=8G", "MAX_TRES") == 2
    assert untruncated("cpu=1,mem=8G,license/licA=1", "MAX_TRES") == Fraction("3.5")
    assert untruncated("cpu=1,mem=8G", "MAX_TRES_GRES") == 2
    # The page says 3.0 for (1*2.0) + MAX(1*1.0, 8*0.25) + (0*1.5): it is 4, as assoc_mgr_tres_weighted() adds it.
    assert untruncated("cpu=1,mem=8G,gres/gpu=1", "MAX_TRES_GRES") == 4
    # "mem=0.25 on a job allocated 8GiB will result in 2048 billed units"; with 0.25G 2.
    assert units("cpu=1,mem=8G", "mem=0.25") == 2048
    assert units("cpu=1,mem=8192M", "mem=0.25G") == 2
    # "The base unit for memory and burst buffers is Mebibytes"; billing "is ignored since it is the result of this".
    assert units("bb/datawarp=3T", "bb/datawarp=0.5G") == units("bb/datawarp=3145728", "BB/datawarp=512T") == 1536
    assert units("cpu=3,billing=9", "cpu=1,billing=5") == 3


def test_kennesaw_state_vhpc() -> None:
    def price(text: str) -> Fraction:
        return hourly(allocated(text), KENNESAW).amount

    assert price("cpu=1,mem=5G") == Fraction("0.03")
    assert price("cpu=1,gres/gpu=1,mem=16G") == Fraction("0.15")
    assert price("cpu=4,gres/gpu=2,mem=480G") == Fraction("1.92")
    assert price("cpu=48,gres/gpu=4,mem=256G") == Fraction("1.92")
    # "Even though CPU + GPU = Mem, job charged for making 4 GPUs unavailable."
    all_cpus = allocated("cpu=48,mem=360G,node=1")
    assert hourly(all_cpus, KENNESAW).amount == Fraction("1.44")
    assert hourly(with_blocked(all_cpus, Fraction(4)), KENNESAW).amount == Fraction("1.92")


def test_which_group_counts_is_told_with_its_terms() -> None:
    made = hourly(allocated("cpu=4,gres/gpu=2,mem=480G"), KENNESAW)
    assert made.counted == (1,)
    assert [[f"{t.tres} {t.quantity} {t.amount}" for t in group] for group in made.groups] == [
        ["gres/gpu 2 6/25", "cpu 4 3/25"],
        ["mem 480 48/25"],
    ]
    assert hourly(allocated("cpu=12,mem=90G"), KENNESAW).counted == (0,), "0.36 each: the first of equals"


def test_a_gpu_is_priced_once_by_its_type_if_that_has_a_price() -> None:
    prices = Prices(({"gres/gpu": Fraction(2), "gres/gpu:h100": Fraction(7)},))
    assert hourly(allocated("gres/gpu=3,gres/gpu:h100=2"), prices).amount == 2 * 7 + 1 * 2
    assert hourly(allocated("gres/gpu=3,gres/gpu:a100=3"), prices).amount == 3 * 2
    assert hourly(allocated("gres/gpu:h100=1,gres/gpu:a100=1"), prices).amount == 7 + 2
    assert hourly(allocated("gres/gpumem=40"), prices).amount == 0
    blocked = with_blocked(allocated("gres/gpu=1,gres/gpu:h100=1"), Fraction(1, 2), "h100")
    assert hourly(blocked, prices).amount == Fraction("10.5")


def test_the_billing_tres_can_be_priced_itself_and_units_be_cut() -> None:
    assert hourly(allocated("billing=47,cpu=12,mem=100M"), Prices(({"billing": Fraction("0.01")},))).amount == (
        Fraction("0.47")
    )
    cut = Prices(({"cpu": Fraction("0.5")},), beside={"license/a": Fraction("0.6")}, truncate=True)
    assert hourly(allocated("cpu=3,license/a=2"), cut._replace(unit_price=Fraction("0.25"))).amount == Fraction("0.5")


@pytest.mark.parametrize(
    ("text", "mebibytes"),
    [("mem=512K", Fraction(1, 2)), ("mem=7", 7), ("mem=7M", 7), ("mem=1.5G", 1536), ("mem=2T", 2 << 20)],
)
def test_memory_is_read_exactly(text: str, mebibytes: Fraction) -> None:
    assert allocated(text) == {"mem": mebibytes}
    assert allocated("") == {}


@pytest.mark.parametrize("text", ["cpu", "cpu=", "=3", "cpu=-1", "mem=8X", "cpu=1,,mem=2G", "cpu=1e3", "cpu=٣"])
def test_what_is_no_alloc_tres_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^AllocTRES: '.*' is not NAME=NUMBER$"):
        allocated(text)
    with pytest.raises(ValueError, match=r"^TRESBillingWeights: '.*' is not TRES=WEIGHT$"):
        billing_weights(text or "x")


def test_a_float_raises() -> None:
    for tres, prices in (
        ({"cpu": 1.0}, KENNESAW),
        ({"cpu": Fraction(1)}, Prices(({"cpu": 0.03},))),  # type: ignore[dict-item]
        ({}, Prices(({"cpu": 0.03},))),  # type: ignore[dict-item]
        ({"cpu": Fraction(1)}, Prices(({"cpu": Fraction(1)},), unit_price=0.5)),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError, match="must be an int or a Fraction, not float"):
            hourly(tres, prices)  # type: ignore[arg-type]


def test_all_faults_at_once() -> None:
    assert faults(KENNESAW) == faults(billing_weights(WEIGHTS, "MAX_TRES")) == []
    assert faults(billing_weights("license/x=1", "MAX_TRES")) == []
    wrong = Prices(
        ({"gpu": Fraction(1), "cpu": Fraction(-1)}, {}, {"billing": 0.1}),  # type: ignore[dict-item]
        "most",
        {"license/": Fraction(1)},
        unit_price=Fraction(-2),
    )
    known = "cpu, mem, node, billing, gres/NAME, gres/NAME:TYPE, license/NAME, bb/NAME"
    assert faults(wrong) == [
        ("groups.0.gpu", f"there is no TRES 'gpu' to price; there are {known}"),
        ("groups.0.cpu", "the price -1 is below 0"),
        ("groups.1", "a group needs a price"),
        ("groups.2.billing", "the price must be exact, not a float"),
        ("beside.license/", f"there is no TRES 'license/' to price; there are {known}"),
        ("groups", "billing is made of the other TRES already: price it alone, or not at all"),
        ("combine", "'most' is neither sum nor max"),
        ("unit_price", "the price -2 is below 0"),
    ]
    assert faults(Prices(({"billing": Fraction(1)},))) == []
    assert faults(Prices(())) == [("groups", "there is no price")]


COUNTS = {name: st.integers(0, 64) for name in ("cpu", "node", "gres/gpu", "gres/nic", "license/a", "license/b")}
WEIGHT = st.decimals(0, 20, places=2)


@given(
    st.fixed_dictionaries({**COUNTS, "mem": st.integers(0, 1 << 21)}),
    st.fixed_dictionaries(dict.fromkeys([*COUNTS, "mem"], WEIGHT)),
    st.sampled_from(["", "MAX_TRES", "MAX_TRES_GRES"]),
)
def test_billing_units_are_what_slurms_loop_gives(counts: dict[str, int], weights: dict[str, Any], flag: str) -> None:
    """Oracle: the loop over all TRES of assoc_mgr_tres_weighted() as one reads it, and the cut of its caller."""
    node = gres = other = Fraction(0)
    for name, count in counts.items():
        value = count * Fraction(weights[name])
        if flag == "MAX_TRES_GRES" and name[:5] == "gres/":
            gres += value
        elif flag and (name in {"cpu", "mem", "node"} or name[:5] == "gres/"):
            node = max(node, value)
        else:
            other += value
    tres = ",".join(f"{name}={count}{'M' if name == 'mem' else ''}" for name, count in counts.items())
    text = ",".join(f"{name}={weight}" for name, weight in weights.items())
    assert units(tres, text, flag) == int(node + gres + other)


@given(st.fixed_dictionaries({"cpu": st.integers(0, 99), "mem": st.integers(0, 9999), "gres/gpu": st.integers(0, 9)}))
def test_the_dearest_group_is_never_more_than_all_and_less_than_none(counts: dict[str, int]) -> None:
    tres = {name: Fraction(count) for name, count in counts.items()}
    one = [hourly(tres, Prices((group,))).amount for group in KENNESAW.groups]
    assert hourly(tres, KENNESAW).amount == max(one)
    assert hourly(tres, KENNESAW._replace(combine=SUM)).amount == sum(one)
