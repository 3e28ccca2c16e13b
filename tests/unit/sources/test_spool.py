"""The spool's reader: event files become evidence whole, and no file is lost, whatever lies in the spool."""

from __future__ import annotations

import logging
import os
import resource
import time
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_gpucost.sources import spool as module
from slurm_gpucost.sources.spool import MOST_BYTES, BadEvent, Spool, fields_of, to_event

GOOD = {
    "HOOK": "epilog",
    "NODE": "n1",
    "BOOT_ID": "435975c7-65a6-4651-9c51-779a424d3c2c",
    "UPTIME": "3482.98",
    "PID": "813",
    "SLURM_JOB_ID": "42",
    "SLURM_JOB_UID": "2001",
    "SLURM_JOB_USER": "alice",
    "SLURM_JOB_ACCOUNT": "physics",
    "SLURM_JOB_PARTITION": "main",
    "SLURM_JOB_RESTART_COUNT": "1",
    "SLURM_CLUSTER_NAME": "alpha",
    "SLURM_JOB_GPUS": "0,1",
    "CUDA_VISIBLE_DEVICES": "GPU-aa,GPU-bb",
    "SLURM_JOB_START_TIME": "1790000000",
    "SLURM_JOB_EXIT_CODE2": "0:0",
}
names = st.from_regex(r"[A-Z_][A-Z0-9_]{0,20}", fullmatch=True)
values = st.binary(max_size=200).map(lambda value: value.replace(b"\x00", b""))


def encode(fields: dict[str, bytes]) -> bytes:
    """What a hook writes: every word ends in NUL."""
    words = [b"1", *(name.encode() + b"=" + value for name, value in fields.items()), b"END"]
    return b"".join(word + b"\x00" for word in words)


def good(**changes: str | None) -> bytes:
    """A whole event with some fields changed; None leaves one out."""
    fields = {**GOOD, **changes}
    return encode({name: value.encode() for name, value in fields.items() if value is not None})


# What a file says


@given(st.dictionaries(names, values, max_size=40))
def test_any_value_survives(fields: dict[str, bytes]) -> None:
    expected = {name: value.decode("utf-8", "replace") for name, value in fields.items()}
    assert fields_of(encode(fields)) == expected


@given(st.dictionaries(names, values, max_size=10), st.data())
def test_a_file_cut_anywhere_is_known_to_be_cut(fields: dict[str, bytes], data: st.DataObject) -> None:
    content = encode(fields)
    short = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(BadEvent):
        fields_of(short)


@given(st.binary(max_size=300))
def test_noise_is_refused_and_nothing_else_is_raised(content: bytes) -> None:
    with pytest.raises(BadEvent):
        to_event(content, 0, "alpha")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (good().replace(b"1\x00", b"2\x00", 1), "format version b'2' is not known"),
        (b"", "format version"),
        (good()[:-1], "cut short"),
        (good() + b"X=1\x00", "cut short"),
        (b"1\x00NODE\x00END\x00", "field b'NODE' has no '='"),
        (good(SLURM_JOB_ID=None), "SLURM_JOB_ID '' is no job id"),
        (good(SLURM_JOB_ID=""), "is no job id"),
        (good(SLURM_JOB_ID="42_7"), "SLURM_JOB_ID '42_7' is no job id"),
        (good(SLURM_JOB_ID="\u0664\u0662"), "is no job id"),
        (good(SLURM_JOB_ID="9" * 5000), "is no job id"),
        (good(HOOK="taskprolog"), "HOOK 'taskprolog' is neither prolog nor epilog"),
    ],
)
def test_what_is_no_event_is_refused_with_the_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BadEvent, match=r".+") as caught:
        to_event(content, 0, "alpha")
    assert reason in str(caught.value)


def test_an_event_has_what_the_hook_wrote() -> None:
    content = good()
    event = to_event(content, 1_790_000_000_123, "other")
    assert event.digest == blake2b(content, digest_size=16).digest()
    assert event._replace(digest=b"") == (
        "alpha", 42, b"", "epilog", "n1", 1_790_000_000_123, GOOD["BOOT_ID"], "3482.98", 813, 2001, "alice", "physics",
        "main", 1, 1_790_000_000_000, "0,1", "GPU-aa,GPU-bb", "0:0",
    )  # fmt: skip


def test_an_event_without_a_cluster_name_is_of_the_configured_cluster() -> None:
    assert to_event(good(SLURM_CLUSTER_NAME=None), 0, "beta").cluster == "beta"


def test_no_gpus_and_an_empty_list_of_gpus_differ() -> None:
    """After a restart of slurmctld an epilog may lack the variable: that says nothing about GPUs."""
    assert to_event(good(SLURM_JOB_GPUS=None), 0, "alpha").job_gpus is None
    assert to_event(good(SLURM_JOB_GPUS=""), 0, "alpha").job_gpus == ""


@pytest.mark.parametrize("text", [None, "", "x", "-1", "1.5", "9" * 40, "\u0661"])
def test_numbers_that_are_none_are_left_out_and_the_event_is_kept(text: str | None) -> None:
    event = to_event(good(SLURM_JOB_UID=text, SLURM_JOB_RESTART_COUNT=text, SLURM_JOB_START_TIME=text), 0, "alpha")
    assert (event.uid, event.restart_count, event.job_start_ms) == (None, None, None)


# What lies in the spool


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    return Spool(path)


def put(spool: Spool, name: str, content: bytes = b"x", at_ms: int = 1_790_000_000_000) -> Path:
    path = spool.path / name
    path.write_bytes(content)
    os.utime(path, ns=(0, at_ms * 1_000_000))
    return path


def test_files_come_oldest_first_with_their_time(spool: Spool) -> None:
    late = put(spool, "a", b"late", 1_790_000_002_500)
    early = put(spool, "b", b"early", 1_790_000_001_250)
    assert spool.scan() == [early, late]
    first = spool.read(early)
    assert first is not None
    assert (first.content, first.at_ms) == (b"early", 1_790_000_001_250)


def test_temporary_files_and_everything_that_is_no_file_are_passed_over(spool: Spool, tmp_path: Path) -> None:
    put(spool, ".tmp.prolog.1.2.3")
    (spool.path / "directory").mkdir()
    os.mkfifo(spool.path / "fifo")
    secret = tmp_path / "secret"
    secret.write_bytes(b"root's own")
    (spool.path / "link").symlink_to(secret)
    event = put(spool, "epilog.1.2.3")
    assert spool.scan() == [event]


@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_what_took_a_files_place_after_the_scan_is_neither_read_nor_removed(spool: Spool, kind: str) -> None:
    event = put(spool, "epilog.1.2.3")
    assert spool.scan() == [event]
    event.unlink()
    if kind == "link":
        event.symlink_to("/etc/passwd")
    elif kind == "fifo":
        os.mkfifo(event)
    else:
        event.mkdir()
    assert spool.read(event) is None
    spool.discard(event)
    assert os.path.lexists(event)


def test_a_file_that_vanishes_is_no_error(spool: Spool) -> None:
    event = put(spool, "epilog.1.2.3")
    event.unlink()
    assert spool.read(event) is None
    spool.discard(event)
    assert spool.scan() == []


def test_one_scan_is_bounded_and_the_oldest_come_first(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 3)
    paths = [put(spool, f"e{number}", at_ms=1_790_000_000_000 + number) for number in (4, 2, 0, 3, 1)]
    assert spool.scan() == [paths[2], paths[4], paths[1]]


def test_a_missing_spool_is_made_for_root_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "gpucost" / "spool"
    assert Spool(path).scan() == []
    assert path.stat().st_mode & 0o7777 == 0o700


def test_a_spool_that_cannot_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(OSError, match=str(file)):
        Spool(file).scan()
    with pytest.raises(OSError, match=str(file)):
        Spool(file / "spool").scan()


def test_a_linked_spool_is_an_error_for_the_hooks_would_write_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="symbolic link, which the hooks refuse"):
        Spool(tmp_path / "link").scan()


# Nothing is lost


@pytest.fixture
def no_free_descriptor() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open("/dev/null", os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_file_that_could_not_be_opened_is_not_discarded(
    spool: Spool, no_free_descriptor: None, caplog: pytest.LogCaptureFixture
) -> None:
    event = spool.path / "epilog.1.2.3"
    os.mknod(event, 0o600)  # a plain file, made without opening one
    with caplog.at_level(logging.WARNING):
        assert spool.read(event) is None
        assert spool.read(event) is None
    spool.discard(event)
    assert event.exists()
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        f"{event}: left in the spool: Too many open files"
    ]


def test_a_file_that_was_left_is_tried_again_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    event = put(spool, "epilog.1.2.3", b"whole")
    event.rename(spool.path / "real")
    event.symlink_to("real")
    assert spool.read(event) is None
    event.unlink()
    (spool.path / "real").rename(event)
    assert spool.scan() == []
    now[0] += module.LEAVE_SECONDS
    assert spool.scan() == [event]
    file = spool.read(event)
    assert file is not None and file.content == b"whole"
    spool.discard(event)
    assert spool.scan() == [] and not event.exists()


def test_a_file_larger_than_any_event_stays_and_one_just_below_is_read(spool: Spool) -> None:
    fits, large = put(spool, "fits"), put(spool, "large")
    os.truncate(fits, MOST_BYTES)
    os.truncate(large, MOST_BYTES + 1)
    file = spool.read(fits)
    assert file is not None and len(file.content) == MOST_BYTES
    assert spool.read(large) is None
    spool.discard(large)
    assert large.stat().st_size == MOST_BYTES + 1
    assert spool.scan() == [fits]


def test_a_file_that_cannot_be_removed_does_not_come_back_at_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the daemon would take it in again and again without end."""
    event = put(spool, "epilog.1.2.3")

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    assert spool.scan() == [event]
    assert spool.read(event) is not None
    spool.discard(event)
    assert spool.scan() == []


def test_temporary_files_count_as_stale_only_when_old(spool: Spool) -> None:
    put(spool, ".tmp.prolog.1.2.3")
    put(spool, "prolog.9.9.9")
    (spool.path / ".tmp.epilog.1.2.3").write_bytes(b"just being written")
    (spool.path / ".tmp.dangling").symlink_to("nowhere")
    assert spool.stale_temporaries() == 1
    assert Spool(spool.path / "missing").stale_temporaries() == 0
