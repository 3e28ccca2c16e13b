from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.domain.evidence import DIGEST_BYTES, NodeGres, decode_gres, digest_of, encode_gres

held = st.builds(
    NodeGres,
    st.sampled_from(["n1", "n2", "n 3"]),
    st.sampled_from(["gpu", "shard"]),
    st.sampled_from(["", "a100", 'h"100']),
    st.lists(st.tuples(st.integers(0, 15), st.integers(0, 8)), max_size=4).map(lambda u: tuple(sorted(u))),
)


@given(st.lists(held, max_size=5))
def test_what_is_held_has_one_text_form_whatever_the_order(gres: list[NodeGres]) -> None:
    text = encode_gres(gres)
    assert encode_gres(reversed(gres)) == text
    assert sorted(decode_gres(text)) == sorted(gres)


def test_digests_tell_apart_what_differs() -> None:
    said: list[tuple[object, ...]] = [(None,), ("",), (0,), ("0",), (None, None), ("a", "b"), ("ab", ""), ("a,b",)]
    assert len({digest_of(*parts) for parts in said}) == len(said)
    assert len(digest_of("x")) == DIGEST_BYTES
    assert digest_of("ann", 1) == digest_of("ann", 1)


def test_digests_are_the_same_in_every_release() -> None:
    # They are keys in ledgers: a change would take every row in a second time.
    assert digest_of("ann", None, 12).hex() == "430e6202d8a98f8c"
