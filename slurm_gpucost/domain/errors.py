"""The errors a person may meet, with what to do about each.

::

    GpucostError            exit 1   something could not be done; the message says what to do
    ├── ConfigError         exit 2   config or option at fault; every fault is named in one go
    ├── UsageError          exit 2   the command line is at fault
    ├── NotAllowed          exit 1   the asker has not the right to it
    ├── LedgerError         exit 1   the ledger file cannot be used as it is
    │   └── LedgerBusy      exit 1   another process holds the write lock
    ├── Unidentified        exit 1   who asks could not be told, or is not who he says
    └── SourceError         exit 1   a witness (sacct, scontrol, NVML) failed or is missing
        └── TooLarge        exit 1   the witness refused the reply's size: ask for less
            └── TooSlow     exit 1   it gave no answer in time: the reply may be too large, or the witness hangs
"""


class GpucostError(Exception):
    """A failure that is told to the user in one message, never as a traceback."""

    exit_code = 1


class ConfigError(GpucostError):
    """The config cannot be used. ``faults`` holds one line per fault: ``file: key: what and what to do``."""

    exit_code = 2

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


class UsageError(GpucostError):
    """An option or argument is not of its form."""

    exit_code = 2


class NotAllowed(GpucostError):
    """Who asks has not the right to it; the message says which right is needed."""


class LedgerError(GpucostError):
    """The ledger file cannot be used as it is."""


class LedgerBusy(LedgerError):
    """Another process holds the ledger's write lock; the message says which."""


class Unidentified(GpucostError):
    """Who asks could not be told: no credential, or one that is not good; the message says what to do."""


class SourceError(GpucostError):
    """A witness failed; the message keeps its command line, exit code and output."""


class TooLarge(SourceError):
    """A witness refused the size of the reply: ask for a smaller slice."""


class TooSlow(TooLarge):
    """A witness did not answer in time: the reply may be too large, or it hangs."""
