"""500 random histories of a small cluster, their evidence spoilt and shuffled, against what really happened.

Of each, whatever goes wrong between what happened and what is heard of it:

- every attempt of which the accounting told is billed once, to its owner, for its seconds and its devices;
- a lease names a device only if its attempt held that device then (bounds: a node's clock a minute behind or a second
  ahead; beyond them money still holds, and is all that is looked at);
- every device is accounted for once at every moment, and a row that is taken away is missed;
- any order and any repetition give the same tables, and so does a rebuild;
- where nothing was lost, every slot did at every moment what the ledger says that it did.

What nodes have is told by one daemon, in order. A failing seed: ``python -m tests.histories.whole SEED``.
"""

from __future__ import annotations

import pytest

from tests.histories.whole import wrong

HISTORIES, EACH = 500, 25


@pytest.mark.parametrize("first", range(0, HISTORIES, EACH))
def test_histories(first: int) -> None:
    for seed in range(first, first + EACH):
        found = list(wrong(seed))
        assert not found, f"seed {seed} (python -m tests.histories.whole {seed}):\n" + "\n".join(found[:20])
