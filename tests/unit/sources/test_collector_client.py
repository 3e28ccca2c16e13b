"""A collector that answers in every wrong way there is, over real sockets."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slurm_gpucost.domain.errors import GpucostError, NotAllowed, SourceError, TooSlow, UsageError
from slurm_gpucost.sources import collector_client as client
from slurm_gpucost.sources.collector_endpoint import answers, endpoint
from tests.unit.collector_server import Response, serving


def nobody(method: str, path: str, body: bytes) -> dict[str, str]:
    return {}


def page(rows: list[Any], cursor: str | None = None, **more: Any) -> Response:
    return 200, {}, json.dumps({"rows": rows, "next": cursor, **more}).encode()


def ask(url: str, **params: Any) -> client.Reply:
    return client.ask(endpoint(url, "--collector"), "jobs", params, nobody)


def replies(*given: Response) -> Callable[[str, dict[str, Any], dict[str, str]], Response]:
    left = list(given)
    return lambda path, content, headers: left.pop(0)


def test_what_is_asked_and_who_asks() -> None:
    seen: list[Any] = []

    def respond(path: str, content: dict[str, Any], headers: dict[str, str]) -> Response:
        seen.append((path, content, headers["X-Who"]))
        return page([{"n": len(seen)}], "c1" if len(seen) == 1 else None, head={"now": 1})

    def who(method: str, path: str, body: bytes) -> dict[str, str]:
        return {"X-Who": f"{method} {path} {len(body)}"}

    with serving(respond) as url:
        reply = client.ask(endpoint(f"{url}/before/", "x"), "jobs", {"users": ["é\ud800"]}, who)
        assert (reply.head, len(seen)) == ({"now": 1}, 1), "a page comes when it is wanted"
        assert list(reply.rows) == [{"n": 1}, {"n": 2}]
    first = {"params": {"users": ["é\ud800"]}, "limit": client.PAGE_ROWS}
    path = "/before/v1/queries/jobs"
    assert seen == [
        (path, first, f"POST {path} {len(json.dumps(first))}"),
        (path, {"cursor": "c1"}, f"POST {path} {len(json.dumps({'cursor': 'c1'}))}"),
    ]


@pytest.mark.parametrize(
    ("status", "kind", "said"),
    [
        (400, UsageError, "why"),
        (401, NotAllowed, "why"),
        (403, NotAllowed, "why"),
        (404, SourceError, ": why"),
        (408, TooSlow, ": why; ask for less"),
        (413, SourceError, ": why"),
        (500, SourceError, ": why"),
        (504, TooSlow, ": why; ask for less"),
    ],
)
def test_what_the_collector_refuses(status: int, kind: type[GpucostError], said: str) -> None:
    with serving(replies((status, {}, b'{"error": "why"}'))) as url, pytest.raises(GpucostError) as caught:
        ask(url)
    assert type(caught.value) is kind
    assert str(caught.value) == (said if kind in (UsageError, NotAllowed) else url + said)


def test_an_error_without_words_names_the_url_and_the_status() -> None:
    for body in (b"<html>Bad gateway", b'["error"]', b'{"error": 5}', b"", b"[" * 100_000):
        with serving(replies((502, {}, body))) as url, pytest.raises(SourceError) as caught:
            ask(url)
        assert str(caught.value) == f"{url}: HTTP 502"


def test_a_busy_collector_is_asked_again_once_when_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    good = page([], head={})
    for status, after, seconds in ((503, "7", 7), (429, "3600", 30), (503, "soon", 1), (503, "-5", 1), (429, "²", 1)):
        headers = {"Retry-After": after} if after.isascii() else {}
        with serving(replies((status, headers, b""), good)) as url:
            assert list(ask(url).rows) == []
        assert waited.pop() == seconds
    busy = (429, {"Retry-After": "2"}, b'{"error": "two of your questions are answered"}')
    with (
        serving(replies(busy, busy)) as url,
        pytest.raises(SourceError, match=r"is busy .two of your .* try again later"),
    ):
        ask(url)
    assert waited == [2]


@pytest.mark.parametrize(
    "body",
    [b"", b"hello", b"[]", b'{"rows": 5, "head": {}}', b'{"rows": []}', b'{"rows": [], "head": 5}', b"[" * 100_000],
)
def test_what_is_no_collector_is_said(body: bytes) -> None:
    with (
        serving(replies((200, {}, body))) as url,
        pytest.raises(SourceError, match=f"{url}: is no collector of gpucost"),
    ):
        ask(url)


def test_pages_without_end_end() -> None:
    with (
        serving(lambda *_: page([{}], "again", head={})) as url,
        pytest.raises(SourceError, match="its pages have no end"),
    ):
        list(ask(url).rows)


def test_an_answer_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 100_000)
    with (
        serving(replies(page(["x" * 200_000], head={}))) as url,
        pytest.raises(SourceError, match="larger than 100000"),
    ):
        ask(url)


@contextmanager
def raw(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Whatever a peer may send, once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        taken, _ = listener.accept()
        with taken:
            taken.recv(65536)
            answer(taken)

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    thread.join()
    listener.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "nonsense", "cut", "cut chunk", "many headers", "long header"],
)
def test_what_is_cut_off_or_no_http_is_an_error_that_names_the_url(sent: bytes) -> None:
    with raw(lambda peer: peer.sendall(sent)) as url, pytest.raises(SourceError) as caught:
        ask(url)
    assert str(caught.value).startswith(f"{url}: ")


def test_a_collector_that_says_nothing_or_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "PAGE_SECONDS", 0.3)
    left = threading.Event()

    def silence(peer: socket.socket) -> None:
        left.wait(5)

    with raw(silence) as url:
        with pytest.raises(TooSlow, match="gave no answer in time"):
            ask(url)
        left.set()

    def drip(peer: socket.socket) -> None:
        try:
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
            while True:
                peer.sendall(b" ")
                left.wait(0.02)
        except OSError:
            pass

    left.clear()
    with raw(drip) as url, pytest.raises(TooSlow, match=r"not there within 0\.3 s"):
        ask(url)


def test_nobody_there(tmp_path: Path) -> None:
    free = socket.create_server(("127.0.0.1", 0))
    port = free.getsockname()[1]
    free.close()
    with pytest.raises(SourceError, match=f"127.0.0.1:{port}: the collector cannot be asked .Connection refused"):
        ask(f"http://127.0.0.1:{port}")
    with pytest.raises(SourceError, match=r"cannot be asked .No such file or directory"):
        ask(f"unix:{tmp_path}/none.sock")
    assert not answers(tmp_path / "none.sock")
    (tmp_path / "plain").touch()
    assert not answers(tmp_path / "plain")
    with serving(replies(), tmp_path / "c.sock"):
        assert answers(tmp_path / "c.sock")
    assert not answers(tmp_path / "c.sock"), "a socket that was left behind"


def test_tls_is_checked_against_the_ca_that_is_named(tmp_path: Path) -> None:
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with serving(lambda *_: page([{"a": 1}], head={}), tls=context) as url:
        at = endpoint(url.replace("http:", "https:").replace("127.0.0.1", "localhost"), "x")
        assert list(client.ask(at, "jobs", {}, nobody, cert).rows) == [{"a": 1}]
        with pytest.raises(SourceError, match=r"certificate is not trusted .* name its CA as ca_file"):
            client.ask(at, "jobs", {}, nobody)
        with pytest.raises(SourceError, match="certificate is not trusted"):
            client.ask(at._replace(host="127.0.0.1"), "jobs", {}, nobody, cert)
        for wrong in (tmp_path / "none.pem", key):
            with pytest.raises(SourceError, match=f"{wrong.name}: is no file of certificates"):
                client.ask(at, "jobs", {}, nobody, wrong)


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("unix:/run/c.sock", True),
        ("unix:///run/c.sock", True),
        ("http://127.0.0.1:1", True),
        ("http://[::1]:1", True),
        ("http://LOCALHOST", True),
        ("https://ledger", True),
        ("http://ledger", False),
        ("http://127.0.0.1.example.org", False),
    ],
)
def test_where_a_secret_may_go(url: str, private: bool) -> None:
    assert endpoint(url, "x").private is private
