"""People and the collector: who is who, pages, limits, and questions that take too long."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.services.named import QUERIES
from slurm_gpucost.services.named.model import ALL, COSTS, OWN
from tests.collector.service import NOBODY, Said, Service, as_other, until
from tests.unit.crowd import END, START

ALL_JOBS: dict[str, Any] = {"all_users": True, "start": START, "end": END}


def workers(service: Service) -> list[int]:
    """The processes that answer questions, once all are there."""

    def found() -> list[int]:
        return [int(path.name) for path in service.children() if b"spawn_main" in (path / "cmdline").read_bytes()]

    for _ in range(2):  # each in its turn, and only when it is ready
        until(lambda: service.query("status").status == 200)
    until(lambda: len(found()) == 2)
    return found()


def rows(said: Said) -> list[dict[str, Any]]:
    assert said.status == 200, said.body
    found: list[dict[str, Any]] = said.json["rows"]
    return found


def test_the_kernel_says_who_asks(service: Service) -> None:
    """Root sees all; another uid on the same socket its own, which is nothing."""
    assert {row["user"] for row in rows(service.query("jobs", **ALL_JOBS))} == {"zqada", "zqbert", "mia", "zqghost"}
    other = as_other(NOBODY, service.socket, json.dumps(["jobs", {"params": ALL_JOBS}]))
    assert rows(other) == [] and "zq" not in other.body.decode()
    for name, query in QUERIES.items():
        if query.rights in (ALL, COSTS):
            refused = as_other(NOBODY, service.socket, json.dumps([name, {}]))
            assert refused.status == 403 and "zq" not in refused.body.decode(), name


def test_over_tcp_nobody_is_anybody_without_a_credential(service: Service) -> None:
    token = service.enroll("q1")
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "MUNGE nonsense"},
                    {"Authorization": f"Bearer {token}"}, {"Authorization": "Basic cm9vdDo="}):  # fmt: skip
        said = service.tcp("POST", "/v1/queries/jobs", {"params": ALL_JOBS}, **headers)
        assert said.status in (401, 503 if "MUNGE" in str(headers) else 401), headers
        assert "error" in said.json and "zq" not in said.body.decode()
    missing = service.tcp("POST", "/v1/queries/jobs", {})
    assert "MUNGE" in missing.json["error"] and "TOKEN" in missing.json["error"]


def test_a_user_s_token_shows_what_is_his(service: Service) -> None:
    token = service.user_token("mia")
    said = service.tcp("POST", "/v1/queries/jobs", {"params": ALL_JOBS}, token)
    assert {row["user"] for row in rows(said)} == {"mia"}
    assert "zq" not in said.body.decode()
    assert service.tcp("POST", "/v1/queries/audit", {}, token).status == 403


def test_pages_are_of_one_answer(service: Service) -> None:
    whole = rows(service.query("jobs", **ALL_JOBS))
    page = service.query("jobs", limit=3, **ALL_JOBS)
    seen, cursors = rows(page), []
    head = page.json["head"]
    while cursor := page.json["next"]:
        cursors.append(cursor)
        page = service.unix("POST", "/v1/queries/jobs", {"cursor": cursor})
        assert page.json["head"] == head and 0 < len(rows(page)) <= 3
        seen += rows(page)
    assert seen == whole and len(whole) > 6 and len(cursors) == (len(whole) - 1) // 3
    again = service.unix("POST", "/v1/queries/jobs", {"cursor": cursors[0]})
    assert rows(again) == whole[3:6], "a page may be fetched again"
    in_url = service.unix(
        "GET", f"/v1/queries/jobs?all_users=true&start={START}&end={END}&limit=3&users=mia&users=zqada"
    )
    assert in_url.status == 200


def test_a_cursor_is_good_for_who_asked(service: Service) -> None:
    cursor = service.query("jobs", limit=2, **ALL_JOBS).json["next"]
    assert cursor
    body = {"cursor": cursor}
    stolen = as_other(NOBODY, service.socket, json.dumps(["jobs", body]))
    assert stolen.status == 410 and "zq" not in stolen.body.decode()
    assert service.tcp("POST", "/v1/queries/jobs", body, service.user_token("mia")).status == 410
    assert service.unix("POST", "/v1/queries/accounts", body).status == 410, "and for that question alone"
    assert service.unix("POST", "/v1/queries/jobs", {"cursor": cursor[:-1] + "7"}).status == 410
    assert service.unix("POST", "/v1/queries/jobs", body).status == 200


@pytest.mark.parametrize(
    ("content", "word"),
    [({"params": {"user": "x"}}, "user"), ({"params": {"users": "x"}}, "users"), ({"limit": 0}, "limit"),
     ({"limit": 10**9}, "limit"), ({"cursor": "x", "limit": 1}, "cursor"), ({"what": 1}, "body"), ([], "body"),
     ({"params": {"start": "soon"}}, "soon")],
)  # fmt: skip
def test_what_is_wrong_is_named(service: Service, content: Any, word: str) -> None:
    said = service.unix("POST", "/v1/queries/jobs", content)
    assert said.status == 400 and word in said.json["error"]


def test_hostile_bodies_are_answered_in_words(service: Service) -> None:
    for body in (
        b"{",
        b"[" * 100_000,
        b'{"params": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b'{"params": {"start": "\\ud800"}}',
    ):
        said = service.unix("POST", "/v1/queries/jobs", body)
        assert said.status in (200, 400) and said.json, body[:20]
    assert service.unix("POST", "/v1/queries/jobs", b"x" * (2 << 20)).status == 413
    assert service.unix("POST", "/v1/queries/nothing", {}).status == 404
    assert service.unix("GET", "/v1/queries/jobs?all_users=maybe").status == 400


def test_who_is_nobody_is_told_so_before_his_body_is_read(service: Service) -> None:
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(b"POST /v1/queries/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        connection.settimeout(5)
        assert connection.recv(100).startswith(b"HTTP/1.1 401")


def test_large_bodies_that_never_come_are_few(service: Service) -> None:
    """Of MUNGE the body is needed to know who asks."""
    head = b"POST /v1/queries/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: MUNGE x\r\nContent-Length: 900000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(("127.0.0.1", service.port))) for _ in range(9)]
        for one in held:
            one.sendall(head)
        ready, _, _ = select.select(held, [], [], 5)
        assert [one.recv(12) for one in ready] == [b"HTTP/1.1 503"], "the ninth of that address"
        assert service.query("jobs", start=START, end=END).status == 200


def test_looks_at_cost_items_are_written_down(service: Service) -> None:
    count = "SELECT count(*) FROM change_log WHERE subject = 'access' AND what LIKE '%rates_explain%'"
    ((before,),) = service.ask(count)
    assert service.query("rates_explain").status == 200
    assert service.ask(count) == [(before + 1,)]
    as_other(NOBODY, service.socket, json.dumps(["rates_explain", {}]))
    assert service.ask(count) == [(before + 1,)], "who is refused has not looked"


@contextmanager
def endless(service: Service) -> Iterator[list[Said]]:
    """A question without end, asked just now, and what will be said: its config is a pipe that nobody writes."""
    path = service.settings.path
    aside = path.with_suffix(".aside")
    path.rename(aside)
    os.mkfifo(path)
    found: list[Said] = []
    asking = threading.Thread(target=lambda: found.append(service.query("rates_simulate", changes=["pue = 1"])))
    try:
        asking.start()
        time.sleep(0.3)
        yield found
        asking.join(20)
    finally:
        path.unlink()
        aside.rename(path)


def test_a_question_without_end_is_given_up_while_others_are_answered(service: Service) -> None:
    with endless(service) as found:
        began = time.monotonic()
        mine = {"start": START, "end": END}
        assert rows(as_other(NOBODY, service.socket, json.dumps(["jobs", {"params": mine}]))) == []
        assert not found and time.monotonic() - began < 1.6
    assert found[0].status == 504 and "2 s" in found[0].json["error"]
    assert service.query("jobs", **ALL_JOBS).status == 200


def test_a_process_that_hangs_costs_its_question_alone(service: Service) -> None:
    there = workers(service)
    for one in there:
        os.kill(one, signal.SIGSTOP)
    began = time.monotonic()
    assert service.query("status").status == 504, "one that hangs is killed"
    assert time.monotonic() - began < 12
    for one in there:
        with contextlib.suppress(ProcessLookupError):  # the one that was killed
            os.kill(one, signal.SIGCONT)
    assert service.query("status").status == 200


def test_a_process_that_dies_costs_its_question_alone(service: Service) -> None:
    there = workers(service)
    with endless(service) as found:
        for one in there:
            os.kill(one, signal.SIGKILL)
    assert found[0].status == 500 and "ended" in found[0].json["error"]
    assert service.query("status").status == 200


def test_a_process_that_dies_before_it_takes_a_question_costs_none(service: Service) -> None:
    """Stopped, the processes take nothing; the question is in the pipe of one of them when they die."""
    there = workers(service)
    for one in there:
        os.kill(one, signal.SIGSTOP)
    found: list[Said] = []
    asking = threading.Thread(target=lambda: found.append(service.query("status")))
    asking.start()
    time.sleep(0.3)
    assert not found
    for one in there:
        os.kill(one, signal.SIGKILL)
    asking.join()
    assert found[0].status == 200


def test_one_user_has_two_questions_at_most(service: Service) -> None:
    there = workers(service)
    for one in there:
        os.kill(one, signal.SIGSTOP)
    found: list[Said] = []
    asking = [threading.Thread(target=lambda: found.append(service.query("status"))) for _ in range(2)]
    for thread in asking:
        thread.start()
    time.sleep(0.5)
    third = service.query("status")
    for one in there:
        os.kill(one, signal.SIGCONT)
    for thread in asking:
        thread.join()
    assert third.status == 429 and third.headers["retry-after"]
    assert {said.status for said in found} == {200}


def test_who_goes_away_leaves_his_place(service: Service) -> None:
    path = service.settings.path
    workers(service)
    aside = path.with_suffix(".aside")
    path.rename(aside)
    os.mkfifo(path)
    try:
        gone = socket.socket(socket.AF_UNIX)
        gone.connect(str(service.socket))
        body = b'{"params":{"changes":["pue = 1"]}}'
        gone.sendall(
            b"POST /v1/queries/rates_simulate HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        time.sleep(0.5)
        gone.close()
        began = time.monotonic()
        until(lambda: service.query("jobs", **ALL_JOBS).status == 200, 2)
        assert time.monotonic() - began < 2
    finally:
        path.unlink()
        aside.rename(path)


def test_the_commands_print_the_same(service: Service) -> None:
    """`gpucost` itself, over the socket and of the file."""
    words = ["jobs", "-a", "-S", "2026-09-01", "-E", "2026-10-30", "--json"]
    from tests.collector.service import REPOSITORY

    def printed(*option: str) -> Any:
        command = [os.sys.executable, "-m", "slurm_gpucost.cli", *words, *option]  # type: ignore[attr-defined]
        done = subprocess.run(
            [*command, "--config", str(service.settings.path)], capture_output=True, text=True, cwd=REPOSITORY
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert printed("--collector", f"unix:{service.socket}") == printed("--ledger", str(service.ledger))


def test_figures_and_the_form_are_valid(service: Service) -> None:
    from openapi_spec_validator import validate

    form = service.tcp("GET", "/openapi.json").json
    validate(form)
    assert {f"/v1/queries/{name}" for name in QUERIES} < set(form["paths"])
    for name, query in QUERIES.items():
        if query.rights == OWN:
            said = form["paths"][f"/v1/queries/{name}"]["get"]["parameters"]
            assert {one["name"] for one in said} == {"limit", "cursor", *(param.name for param in query.params)}
    assert service.unix("POST", "/v1/queries/jobs", {"params": ALL_JOBS}).status == 200
    assert service.figure("gpucost_query_seconds_count", query="jobs", status="200") >= 1
    assert service.figure("gpucost_ledger_bytes", file="ledger") > 0
    assert service.figure("gpucost_writing_fails") == 0


def test_the_log_has_no_tokens(service: Service) -> None:
    assert "token-of-" not in service.log and "gpucost_u" not in service.log
    assert "Traceback" not in service.log, service.log


def test_only_a_dead_socket_is_replaced(own: Service) -> None:
    own.socket.write_text("precious")
    assert own.launch().wait(20) == 2
    assert "move it away" in own.log and own.socket.read_text() == "precious"
    own.socket.unlink()
    target = Path(own.top / "elsewhere")
    target.write_text("precious")
    own.socket.symlink_to(target)
    assert own.launch().wait(20) == 2
    assert target.read_text() == "precious"
    own.socket.unlink()
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(own.socket))
    dead.close()
    own.start()
    assert own.socket.stat().st_mode & 0o777 == 0o666
    first = own.process
    assert own.launch().wait(20) == 1, "a start that may go well later"
    refused = [line for line in own.log.splitlines() if "somebody listens there" in line]  # the first one writes, too
    assert refused and refused[-1].startswith("gpucostd: collector.")
    own.process = first
    assert own.is_ready()
    own.end()
