"""Golden files: what people read, kept as they read it. GPUCOST_GOLDEN=write makes them anew; look at the change."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden")


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with golden/NAME, to the byte; .txt where the name has no ending."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / (name if "." in name else f"{name}.txt")
        if os.environ.get("GPUCOST_GOLDEN") == "write":
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{path} differs; see {__file__}"

    return compare
