"""Says in the daemon's log what is wrong: once, and when it is over."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

from slurm_gpucost.domain.errors import GpucostError

log = logging.getLogger("gpucostd")
_COMMAND = re.compile("`[^`]*`")


class Trouble:
    """What was said last of each thing that can fail; ``of`` stands behind its name, where there are several."""

    def __init__(self, of: str = "") -> None:
        self._of = of
        self._said: dict[str, str] = {}

    def say(self, what: str, message: str) -> None:
        """Say that ``what`` fails; '' that it works. The command line in it has new times with every question."""
        gist = _COMMAND.sub("", message)
        if self._said.get(what, "") != gist:
            self._said[what] = gist
            if message:
                log.warning("%s%s: %s", what, self._of, _plain(message))
            else:
                log.info("%s%s: works again", what, self._of)

    def attempt(self, what: str, work: Callable[[], object]) -> bool:
        """Do the work. Whatever it raises is said, and the daemon goes on. Whether all was well."""
        try:
            work()
            self.say(what, "")
        except Exception as error:
            self.say(what, told(error))
            return False
        return True


def _plain(message: str) -> str:
    """In one line without control characters: of a message that has any but a newline journalctl shows its size."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in message)


def told(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, (GpucostError, OSError)):
        return str(error)
    return f"internal error: {type(error).__name__}: {error}"
