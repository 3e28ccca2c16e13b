"""The gpucost command: each module holds one command's options and hands over to a service."""

from __future__ import annotations


def main() -> None:
    """Run the command line; exits 0 done, 1 findings or failure, 2 usage or config."""
    import sys

    from slurm_gpucost.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        # A locale that lacks a letter must not end a report halfway.
        getattr(stream, "reconfigure", lambda **_: None)(errors="backslashreplace")
    app(prog_name="gpucost")
