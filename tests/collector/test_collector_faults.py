"""What a site does to a collector: disks that are full, certificates, MUNGE, several clusters, a thousand clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from slurm_gpucost.collector import sockets
from slurm_gpucost.collector.limits import CONNECTIONS_OF_ONE
from slurm_gpucost.domain.errors import ConfigError
from slurm_gpucost.domain.wire import encode
from slurm_gpucost.settings import load
from slurm_gpucost.sources import munge
from tests.collector.service import REPOSITORY, Service, say, until
from tests.daemon.site import unable
from tests.daemon.small_disk import SmallDisk
from tests.munged import Munged
from tests.unit.builders import script
from tests.unit.crowd import END, START
from tests.unit.uplinked import Node, own_hook

QUESTION = json.dumps({"params": {"all_users": True, "start": START, "end": END}}).encode()
Made = Callable[..., Service]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Made]:
    with ExitStack() as stack:

        def made(*more: str, after: str = "") -> Service:
            service = Service(tmp_path, *more, after=after)
            stack.callback(service.clear_up)
            return service

        yield made


def node(number: int = 300) -> Node:
    return Node(rows=[own_hook(at_ms=n, job_id=1000 + n) for n in range(number)])


def test_a_full_disk_acknowledges_nothing_and_heals_by_itself(make: Made, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        unable("only root can mount a disk to fill")
    service, sender = make(), node(20_000)
    token = service.enroll("n1")
    disk = SmallDisk(tmp_path / "disk")
    try:
        shutil.copy(service.ledger, disk.outside / "ledger.db")
        service.ledger = disk.path / "ledger.db"
        service.start(*disk.enter)
        assert service.send(token, sender.batch(1, 2)).json == {"held": 2}
        disk.fill()
        held = 2
        for last in range(500, 20_000, 500):
            said = service.send(token, sender.batch(held + 1, last))
            if said.status != 200:
                break
            held = said.json["held"]
        assert said.status == 503 and int(said.headers["retry-after"]) > 0
        assert "could not be written" in said.json["error"]
        assert service.tcp("GET", "/healthz").status == 200
        assert service.tcp("GET", "/readyz").status == 503
        assert service.unix("POST", "/v1/queries/jobs", QUESTION).status == 200, "questions only read"
        assert service.unix("POST", "/v1/queries/rates_explain", {}).status == 503, "a look that cannot be noted"
        assert service.tcp("GET", f"/v1/batches?journal={sender.journal}", token=token).json == {"held": held}
        disk.free()
        assert service.send(token, sender.batch(held + 1, held + 500)).json == {"held": held + 500}
        assert service.tcp("GET", "/readyz").status == 200
        service.end()
        service.ledger = disk.copy("ledger.db", tmp_path / "copy.db")
        assert service.ask("SELECT count(*) FROM hook_event WHERE node = 'n1'") == [(held + 500,)]
    finally:
        service.kill()
        disk.close()


def test_a_thousand_clients_at_once(make: Made) -> None:
    """They are connected all the time; each is answered, and so is a node."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    service = make()
    token = service.enroll("n1")
    service.start()
    open_ones = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(1000)]
    assert service.send(token, node(3).batch(1, 3)).status == 200
    more = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(CONNECTIONS_OF_ONE - 1000 + 16)]
    assert b" 503 " in more[-1].recv(100), "one address has no more than its part"
    assert service.unix("GET", "/healthz").status == 200, "which is nothing to others"
    for one in open_ones:
        one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    statuses = [one.recv(100).split()[1] for one in open_ones]
    assert set(statuses) <= {b"200", b"429"} and statuses.count(b"200") >= 150
    for one in (*open_ones, *more):
        one.close()


def test_munge_says_who_asks(make: Made) -> None:
    with Munged() as munged:
        service = make()
        config = service.settings.path
        config.write_text(config.read_text().replace("[access]", f'[access]\nmunge_socket = "{munged.socket}"'))
        service.start()

        def asked(path: str, body: bytes, credential: dict[str, str]) -> int:
            return say(service.connection(), "POST", path, body, credential).status

        path, name = "/v1/queries/jobs", "/v1/queries/accounts"
        good = munge.credentials("POST", path, QUESTION, "127.0.0.1", munged.socket)
        said = say(service.connection(), "POST", path, QUESTION, good)
        assert said.status == 200 and b"zq" not in said.body, "root over MUNGE from a host that is not trusted"
        assert asked(path, QUESTION, good) == 401, "used twice"
        fresh = munge.credentials("POST", path, QUESTION, "127.0.0.1", munged.socket)
        assert asked(name, b"{}", fresh) == 401, "of another request"


def new_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Key and certificate of localhost."""
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    words = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {certificate}"
    alternative = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*words.split(), *alternative], check=True, capture_output=True)
    return key, certificate


def test_over_tls_a_token_is_taken(make: Made, tmp_path: Path) -> None:
    key, certificate = new_certificate(tmp_path, "first")
    service = make(f'tls_cert = "{certificate}"', f'tls_key = "{key}"')
    token = service.user_token("mia")
    process = service.launch()
    context = ssl.create_default_context(cafile=str(certificate))

    def connection() -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", service.port, timeout=20, context=context)

    def is_ready() -> bool:
        try:
            return say(connection(), "GET", "/readyz", None, {}).status == 200
        except ConnectionError:  # its socket's file is there before anybody listens
            assert process.poll() is None
            return False

    until(is_ready)
    silent = socket.create_connection(("127.0.0.1", service.port))
    said = say(connection(), "POST", "/v1/queries/jobs", QUESTION, {"Authorization": f"Bearer {token}"})
    assert said.status == 200 and {row["user"] for row in said.json["rows"]} == {"mia"}
    with socket.create_connection(("127.0.0.1", service.port)) as plain:
        plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):  # no answer is none, too
            assert b"200" not in plain.recv(100)

    (tmp_path / "first.key").unlink()  # half renewed: what was read before is shown
    until(lambda: "not read anew" in service.log)
    assert is_ready()
    for old, new in zip((key, certificate), new_certificate(tmp_path, "second"), strict=True):
        new.rename(old)
    until(lambda: "certificate" in service.log and ": read anew" in service.log)
    with pytest.raises(ssl.SSLCertVerificationError):
        say(connection(), "GET", "/readyz", None, {})
    context = ssl.create_default_context(cafile=str(certificate))
    assert is_ready(), "a new connection is shown the new one, and nothing was started anew"
    silent.settimeout(15)
    with contextlib.suppress(ConnectionResetError):
        assert silent.recv(1) == b"", "who does not agree on TLS is cut off"
    silent.close()
    service.end()


def test_each_cluster_is_asked_with_its_own_slurm_conf(make: Made, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    command = script(tmp_path / "sacct-of-all", f'echo "$SLURM_CONF $*" >> {noted}; exit 1')
    service = make(
        after=f'\n[[clusters]]\nname = "c"\nsacct = "{command}"\n'
        f'\n[[clusters]]\nname = "west"\nsacct = "{command}"\nslurm_conf = "/etc/slurm/west.conf"\n'
    )
    os.environ.pop("SLURM_CONF", None)
    service.start()
    until(lambda: noted.exists() and len(noted.read_text().splitlines()) >= 2)
    lines = noted.read_text().splitlines()
    assert any(line.startswith("/etc/slurm/west.conf ") and "--clusters=west" in line for line in lines)
    assert any(line.startswith(" ") and "--clusters=c " in line for line in lines)
    until(lambda: "sacct of west: " in service.log and "sacct of c: " in service.log)


def test_clusters_that_cannot_be_are_named(make: Made) -> None:
    service = make(after='\n[[clusters]]\nname = "west"\n\n[[clusters]]\nname = "west"\n')
    with pytest.raises(ConfigError) as caught:
        load(service.settings.path)
    assert "'west' stands twice" in str(caught.value) and "'c' is none of [[clusters]]" in str(caught.value)


@pytest.mark.parametrize("listen", ["6843", "host:", ":80", "h:99999", "::1:80", "[::1]", "h:8o"])
def test_where_it_cannot_listen_is_said(listen: str) -> None:
    with pytest.raises(ConfigError, match="HOST:PORT"):
        sockets.where(listen)


def test_all_addresses_at_once(make: Made) -> None:
    """By [::] one listens on IPv4, too; the loopback stays the loopback, over which a token is taken."""
    service = make()
    token = service.user_token("mia")
    config = service.settings.path
    config.write_text(config.read_text().replace(f'"127.0.0.1:{service.port}"', f'"[::]:{service.port}"'))
    service.start()
    assert service.tcp("POST", "/v1/queries/jobs", QUESTION, token).status == 200
    connection = http.client.HTTPConnection("::1", service.port, timeout=20)
    assert say(connection, "POST", "/v1/queries/jobs", QUESTION, {"Authorization": f"Bearer {token}"}).status == 200


def test_a_directory_that_others_can_write_has_no_socket(tmp_path: Path) -> None:
    """The service's own group may, as in the package's /run/gpucost."""
    if os.geteuid() != 0:
        unable("only root can give directories away")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(ConfigError, match="writable by nobody else"):
        sockets.unix(open_to_all / "c.sock")
    open_to_all.chmod(0o1775)
    os.chown(open_to_all, 0, 12345)
    with pytest.raises(ConfigError, match="writable by nobody else"):
        sockets.unix(open_to_all / "c.sock")
    os.chown(open_to_all, 0, os.getegid())
    sockets.unix(open_to_all / "c.sock").remove()
    tmp_path.chmod(0o755)
    made = sockets.unix(tmp_path / "c.sock")
    assert stat.S_IMODE((tmp_path / "c.sock").stat().st_mode) == 0o666
    (tmp_path / "c.sock").unlink()
    (tmp_path / "c.sock").write_text("somebody else's by now")
    made.remove()
    assert (tmp_path / "c.sock").exists()


def test_a_backlog_is_refused_for_now(make: Made) -> None:
    """Whoever holds the ledger holds the batches up; none is lost, and none is answered early."""
    import fcntl

    service, sender = make(), node(3)
    token = service.enroll("n1")
    service.start()
    with service.ledger.with_name(service.ledger.name + "-writer").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with socket.create_connection(("127.0.0.1", service.port)) as waiting:
            body = encode(sender.batch(1, 3))
            head = f"POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
            waiting.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            waiting.settimeout(0.5)
            with pytest.raises(TimeoutError):
                waiting.recv(10)
            began = time.monotonic()
            assert service.unix("POST", "/v1/queries/jobs", QUESTION).status == 200
            assert time.monotonic() - began < 5, "questions do not wait for who writes"
            fcntl.flock(lock, fcntl.LOCK_UN)
            waiting.settimeout(10)
            said = b""
            while not said.endswith(b"}"):
                said += waiting.recv(1000)
            assert said.endswith(b'{"held":3}')


def test_without_its_extra_it_says_how_to_get_it(make: Made) -> None:
    service = make()
    program = "import sys; sys.modules['uvicorn'] = None; from slurm_gpucost.daemon import main; main(sys.argv[1:])"
    words = [sys.executable, "-c", program, "collector", "--config", str(service.settings.path)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=REPOSITORY)
    assert done.returncode == 1
    assert (
        done.stderr == "gpucostd: the collector needs the Python package uvicorn: install the Debian package gpucost, "
        "or pip install 'slurm-gpucost[collector]'\n"
    )
