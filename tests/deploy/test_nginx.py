"""The front as we ship it: a real nginx with deploy/nginx's configuration, a real authority, a hub behind it."""

import http.client
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

from fspiop.time import http_date
from hub.local.net import free_port
from hub.participants import credentials
from tests import proofs
from tests.directory.requests import look_up
from tests.proofs import by_proxy, key_of
from tests.world import World

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (Debian: apt-get install nginx-light)")

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "nginx"
SCHEME, OTHER = proofs.Authority("scheme"), proofs.Authority("other")
PATH = "/parties/MSISDN/1"
RATE = 10  # requests a second of one certificate, and as many more at once
FRONT = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/dfsp.conf;
    include {folder}/administration.conf;
}}
"""
GOOD, REVOKED = SCHEME.issue("green"), SCHEME.issue("green's revoked", key=key_of("green"))
CLIENTS = {
    "valid": GOOD,
    "revoked by the authority": REVOKED,
    "expired": SCHEME.issue("green's expired", days=(-20, -1), key=key_of("green")),
    "of another authority": OTHER.issue("green"),
    "red's": SCHEME.issue("red"),
}


@dataclass
class Front:
    """A running nginx, and how a DFSP with one of the certificates calls it."""

    folder: Path
    port: int
    administration_port: int

    def connect(self, client: str | None, port: int | None = None) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.folder / "authority.pem"))
        if client is not None:
            pem = self.folder / f"{client.replace(' ', '-')}.pem"
            signer = key_of("red") if client == "red's" else key_of("green")
            pem.write_text(proofs.pem_of(CLIENTS[client]) + proofs.private_pem(signer))
            context.load_cert_chain(pem)
        return http.client.HTTPSConnection("localhost", port or self.port, context=context, timeout=20)


def ask(
    connection: http.client.HTTPSConnection,
    *,
    method: str = "GET",
    path: str = PATH,
    source: str = "green",
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> int:
    resource = path.split("/")[1]
    sent = {
        "date": http_date(datetime.now(UTC)),
        "fspiop-source": source,
        "content-type": f"application/vnd.interoperability.{resource}+json;version=1.1",
    }
    if method == "GET":
        sent["accept"] = f"application/vnd.interoperability.{resource}+json;version=1"
    connection.request(method, path, body or None, sent | (headers or {}))
    answer = connection.getresponse()
    answer.read()
    return answer.status


@pytest.fixture(scope="module")
def ports() -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def front(
    committed_world: World, live_server: LiveServer, ports: tuple[int, int], tmp_path: Path, settings: Any
) -> Iterator[Front]:
    for name, value in proofs.CERTIFICATE.items():
        setattr(settings, name, value)
    for name, text in {
        "authority.pem": proofs.pem_of(SCHEME.certificate),
        "revoked.pem": SCHEME.revocations(REVOKED),
        "server.pem": proofs.pem_of(SCHEME.issue("localhost", host="localhost", key=key_of("front"))),
        "server.key": proofs.private_pem(key_of("front")),
        "secret.conf": f'proxy_set_header X-Proxy-Secret "{proofs.PROXY_SECRET};sha1=$ssl_client_fingerprint";',
        "operators.conf": "allow 127.0.0.0/8;",
    }.items():
        (tmp_path / name).write_text(text)
    values = {
        "KITOVU_RATE": str(RATE),
        "KITOVU_UPSTREAM": live_server.url.removeprefix("http://"),
        "KITOVU_OPERATORS_UPSTREAM": live_server.url.removeprefix("http://"),
        "KITOVU_LISTEN": f"127.0.0.1:{ports[0]}",
        "KITOVU_SERVER_NAME": "localhost",
        "KITOVU_CERTIFICATE": f"{tmp_path}/server.pem",
        "KITOVU_CERTIFICATE_KEY": f"{tmp_path}/server.key",
        "KITOVU_CLIENT_CA": f"{tmp_path}/authority.pem",
        "KITOVU_CLIENT_CRL": f"{tmp_path}/revoked.pem",
        "KITOVU_SECRET_CONF": f"{tmp_path}/secret.conf",
        "KITOVU_ADMINISTRATION_LISTEN": f"127.0.0.1:{ports[1]}",
        "KITOVU_ADMINISTRATION_NAME": "localhost",
        "KITOVU_ADMINISTRATION_CERTIFICATE": f"{tmp_path}/server.pem",
        "KITOVU_ADMINISTRATION_CERTIFICATE_KEY": f"{tmp_path}/server.key",
        "KITOVU_OPERATORS": f"{tmp_path}/operators.conf",
        "KITOVU_LOGS": str(tmp_path),
    }
    for name in ("dfsp.conf", "administration.conf"):
        template = (DEPLOY / f"{name}.template").read_text()
        filled = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], template)
        (tmp_path / name).write_text(filled.replace("client_body_timeout 10s", "client_body_timeout 1s"))
    user = "user root;" if os.geteuid() == 0 else ""
    (tmp_path / "nginx.conf").write_text(FRONT.format(folder=tmp_path, user=user))
    assert NGINX is not None
    process = subprocess.Popen(
        [NGINX, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], stderr=(tmp_path / "error.log").open("w")
    )
    try:
        _wait_for(ports[0], process, tmp_path / "error.log")
        yield Front(tmp_path, *ports)
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text() if log.exists() else "nginx did not start"
            assert time.monotonic() < end, "nginx does not listen"
            time.sleep(0.05)


def test_a01_only_a_valid_certificate_of_the_scheme_gets_through(front: Front) -> None:
    for name in ("valid", "revoked by the authority"):
        proofs.register_certificate("green", CLIENTS[name])
    assert ask(front.connect("valid")) == 202
    # nginx itself refuses these, whatever the registry says.
    for client in (None, "of another authority", "expired", "revoked by the authority"):
        assert ask(front.connect(client)) == 400, client
    # The scheme's, but nobody's in the registry.
    assert ask(front.connect("red's"), source="red") == 401
    proofs.register_certificate("red", CLIENTS["red's"])
    assert ask(front.connect("red's"), source="red") == 202
    assert ask(front.connect("red's"), source="green") == 403


def test_a17_an_encoded_slash_does_not_reach_the_hub(front: Front) -> None:
    proofs.register_certificate("green", GOOD)
    connection = front.connect("valid")
    for path in ("/parties/MSISDN/1%2F2", "/participants/DEVICE/a%2fb/c", "/transfers/a%2Fb"):
        assert ask(connection, path=path) == 400, path
    assert ask(connection, path="/parties/MSISDN/1?note=%2F") == 202


def test_no_log_of_the_front_has_a_customers_number(front: Front) -> None:
    proofs.register_certificate("green", GOOD)
    path = "/parties/MSISDN/255655001001"
    assert ask(front.connect("valid"), path=path) == 202
    connections = [front.connect("valid") for _ in range(4 * RATE)]
    with ThreadPoolExecutor(4 * RATE) as threads:
        assert 429 in set(threads.map(lambda connection: ask(connection, path=path), connections))
    end = time.monotonic() + 5
    while not (written := (front.folder / "kitovu-access.log").read_text()) and time.monotonic() < end:
        time.sleep(0.05)
    assert " GET 202 " in written
    logs = {log.name: log.read_text() for log in front.folder.glob("*.log")}
    assert len(logs) >= 3
    assert [name for name, text in logs.items() if "255655001001" in text] == []


def test_a01_a_certificate_that_the_hub_revokes_ends_on_an_open_connection(front: Front) -> None:
    row = proofs.register_certificate("green", GOOD)
    connection = front.connect("valid")
    assert ask(connection) == 202
    credentials.revoke(proofs.participant("green"), credential_id=row.pk, actor="test")
    assert ask(connection) == 401


def test_a01_headers_that_a_client_writes_itself_count_for_nothing(front: Front, live_server: LiveServer) -> None:
    proofs.register_certificate("green", GOOD)
    proofs.register_certificate("red", CLIENTS["red's"])
    spoofed = by_proxy(GOOD)
    with_underscores = {name.replace("-", "_"): value for name, value in spoofed.items()}
    for headers in (spoofed, with_underscores, spoofed | with_underscores):
        assert ask(front.connect("red's"), source="green", headers=headers) == 403
        assert ask(front.connect("red's"), source="red", headers=headers) == 202
        assert ask(front.connect(None), source="green", headers=headers) == 400
    # Past the proxy: whoever reaches the hub itself does not know the secret.
    direct = http.client.HTTPConnection(live_server.url.removeprefix("http://"), timeout=20)
    assert ask(direct, headers=by_proxy(GOOD, secret="guessed")) == 401  # type: ignore[arg-type]


def test_a08_a_path_reaches_the_hub_as_it_was_signed(front: Front, settings: Any) -> None:
    paths = ("/parties/ALIAS/a%20b", "/parties/ALIAS/Zo%C3%AB", "/parties/EMAIL/ada%40x.org")
    with override_settings(PARTICIPANT_AUTH=[], PROXY_SECRET=""):
        for path in paths:
            look_up(path)
    settings.SIGNATURES = "required"
    proofs.register_certificate("green", GOOD)
    proofs.register_key("green")
    connection = front.connect("valid")
    body = b'{"party":{"partyIdInfo":{"partyIdType":"ALIAS","partyIdentifier":"1","fspId":"green"}}}'
    date = http_date(datetime.now(UTC))
    for path in paths:
        signing = proofs.signature(
            "PUT", path, body, source="green", destination="blue", key=key_of("green"), date=date
        )
        sent = signing | {"FSPIOP-Destination": "blue"}
        assert ask(connection, method="PUT", path=path, body=body, headers=sent) == 200
        assert ask(connection, method="PUT", path=path + "x", body=body, headers=sent) == 400


def test_a18_a_body_that_does_not_come_ends_at_the_front(front: Front) -> None:
    proofs.register_certificate("green", GOOD)
    connection = front.connect("valid")
    connection.putrequest("POST", "/quotes")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"{")
    began = time.monotonic()
    assert connection.sock.recv(100) == b""  # nginx closes without a word
    assert 0.5 < time.monotonic() - began < 8


def test_a18_each_door_reads_a_request_whole_before_the_hub_hears_of_it() -> None:
    for name in ("dfsp", "administration"):
        template = (DEPLOY / f"{name}.conf.template").read_text()
        for line in ("proxy_request_buffering on;", "client_header_timeout 10s;", "client_body_timeout 10s;"):
            assert line in template, (name, line)


def test_a19_one_dfsps_flood_is_turned_away_and_anothers_call_is_not(front: Front) -> None:
    proofs.register_certificate("green", GOOD)
    proofs.register_certificate("red", CLIENTS["red's"])
    connections = [front.connect("valid") for _ in range(RATE * 4)]
    with ThreadPoolExecutor(len(connections)) as flood:  # at once: nginx counts as they arrive, however slow we are
        statuses = set(flood.map(lambda connection: ask(connection, path="/quotes/x"), connections))
    assert 429 in statuses
    assert statuses <= {400, 429}  # the others reached the hub, which refuses such an id
    assert ask(front.connect("red's"), source="red") == 202


def test_a40_each_door_opens_to_its_own_apis_only(front: Front) -> None:
    proofs.register_certificate("green", GOOD)
    for path in ("/api/ledger/v1/participants", "/admin/", "/metrics", "/docs/", "/portal/", "//api/ledger/v1/x"):
        assert ask(front.connect("valid"), path=path) == 404
    operators = front.connect(None, front.administration_port)
    assert ask(operators, path="/api/ledger/v1/participants") == 200
    assert ask(operators, path="/token") == 405  # the hub's own word: administration clients get theirs here
    assert ask(operators, path=PATH, headers=by_proxy(GOOD)) == 404


def test_what_we_ship_names_every_resource_that_the_hub_serves() -> None:
    from hub.api.dfsp_routing_middleware import DFSP_DOORS

    named = re.search(r"location ~ \^/\(([\w|]+)\)\(/\|\$\)", (DEPLOY / "dfsp.conf.template").read_text())
    assert named is not None
    assert set(named[1].split("|")) == set(DFSP_DOORS)
