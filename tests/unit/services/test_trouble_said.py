"""What the daemon's log says of trouble."""

from __future__ import annotations

import pytest

from slurm_gpucost.domain.errors import SourceError
from slurm_gpucost.services.trouble import Trouble


def test_a_message_is_one_line_that_journalctl_shows(caplog: pytest.LogCaptureFixture) -> None:
    """Of a command with a delimiter that is a control character, and of several lines that it printed."""

    def fails() -> None:
        raise SourceError("`sacct '--delimiter=\x1f'` failed: no\n`plugin` für \udc80 and \\n")

    Trouble(" of alpha").attempt("sacct", fails)
    assert caplog.messages == ["sacct of alpha: `sacct '--delimiter=\\x1f'` failed: no\\n`plugin` für \\udc80 and \\n"]
