"""A connector proves itself to its hub and believes nobody else: tokens, signatures, TLS both ways (A07)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from django.test import override_settings
from pytest_django.live_server_helper import LiveServer

from fspiop import jws
from fspiop.time import http_date
from hub.http_client import Curl
from hub.local.net import free_port
from hub.outbox import client
from hub.outbox.claims import Claimed
from kitovu_connector.backend import HttpBackend
from kitovu_connector.client import HubClient, Said
from kitovu_connector.config import Config, ConfigError
from kitovu_connector.connector import Connector
from tests import proofs
from tests.api import messages
from tests.proofs import key_of
from tests.world import World

SCHEME, OTHER = proofs.Authority("scheme"), proofs.Authority("other")
TRANSFER = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
COMMITTED = b'{"transferState":"COMMITTED"}'


def config_of(folder: Path, **more: Any) -> Config:
    settings = {"dfsp": "green", "hub_url": "http://127.0.0.1:9", "state": folder, "ilp_secret": "s" * 16}
    return Config(**(settings | more))  # type: ignore[arg-type]


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def public(folder: Path, name: str) -> tuple[str, ...]:
    return (write(folder, f"{name}.pub", proofs.public_pem(key_of(name))),)


# --- tokens


class Hub:
    """The other side of the network: gives tokens, and takes only the newest."""

    def __init__(self, life_s: float = 600) -> None:
        self.life_s, self.given, self.status = life_s, 0, 200
        self.calls: list[tuple[str, bytes]] = []

    async def give(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["grant_type"] == "client_credentials"
        assert request.headers["Authorization"] == "Basic " + base64.b64encode(b"green.1:secret").decode()
        if self.status != 200:
            return web.Response(status=self.status)
        await asyncio.sleep(0.05)
        self.given += 1
        return web.json_response({"access_token": f"T{self.given}", "token_type": "Bearer", "expires_in": self.life_s})

    async def take(self, request: web.Request) -> web.Response:
        authorization = request.headers.get("Authorization", "")
        self.calls.append((authorization, await request.read()))
        if authorization != f"Bearer T{self.given}":
            return web.json_response({"errorInformation": {"errorCode": "3000", "errorDescription": "x"}}, status=401)
        return web.Response(status=202)

    @asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[HubClient]:
        app = web.Application()
        app.router.add_post("/token", self.give)
        app.router.add_route("*", "/{rest:.*}", self.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{port}"
        config = config_of(folder, hub_url=url, token_url=f"{url}/token", token_client="green.1", token_secret="secret")
        async with HubClient(config) as hub:
            yield hub
        await runner.cleanup()


def with_hub(hub: Hub, folder: Path, story: Callable[[HubClient], Awaitable[None]]) -> None:
    async def tell() -> None:
        async with hub.serving(folder) as to_hub:
            await story(to_hub)

    asyncio.run(tell())


def test_one_token_serves_all_requests(tmp_path: Path) -> None:
    hub = Hub()

    async def story(to_hub: HubClient) -> None:
        answers = await asyncio.gather(*(to_hub.send("POST", "/quotes", b"{}", destination="blue") for _ in range(20)))
        assert {answer.said for answer in answers} == {Said.YES}

    with_hub(hub, tmp_path, story)
    assert hub.given == 1


def test_a_token_is_renewed_before_it_ends(tmp_path: Path) -> None:
    hub = Hub(life_s=0.4)

    async def story(to_hub: HubClient) -> None:
        for _ in range(8):
            assert (await to_hub.send("GET", TRANSFER)).said is Said.YES
            await asyncio.sleep(0.1)

    with_hub(hub, tmp_path, story)
    assert 2 <= hub.given <= 5
    assert all(authorization.startswith("Bearer T") for authorization, _ in hub.calls)


def test_a_token_that_the_hub_refuses_is_replaced_and_the_same_bytes_go_again(tmp_path: Path) -> None:
    hub = Hub()

    async def story(to_hub: HubClient) -> None:
        await to_hub.send("GET", TRANSFER)
        hub.given += 1  # T1 is revoked
        assert (await to_hub.send("POST", "/transfers", b'{"a":1}', destination="blue")).said is Said.YES

    with_hub(hub, tmp_path, story)
    assert hub.calls[1:] == [("Bearer T1", b'{"a":1}'), ("Bearer T3", b'{"a":1}')]


def test_without_a_token_nothing_is_said_about_the_payment(tmp_path: Path) -> None:
    hub = Hub()

    async def story(to_hub: HubClient) -> None:
        hub.status = 401
        assert (await to_hub.send("POST", "/transfers", b"{}", destination="blue")).said is Said.NOTHING
        hub.status = 200
        assert (await to_hub.send("POST", "/transfers", b"{}", destination="blue")).said is Said.YES

    with_hub(hub, tmp_path, story)
    assert len(hub.calls) == 1


@pytest.mark.parametrize(("status", "code"), [(401, "3000"), (403, "3000"), (400, "3105")])
def test_not_to_be_known_at_the_door_is_no_word_about_the_payment(tmp_path: Path, status: int, code: str) -> None:
    hub = Hub()

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"errorInformation": {"errorCode": code, "errorDescription": "x"}}, status=status)

    hub.take = refuse  # type: ignore[method-assign]

    async def story(to_hub: HubClient) -> None:
        assert (await to_hub.send("PUT", TRANSFER, b"{}", destination="blue")).said is Said.NOTHING

    with_hub(hub, tmp_path, story)


def test_half_a_setting_is_none(tmp_path: Path) -> None:
    for more in ({"token_url": "http://h/token"}, {"inbound_client_ca": "ca.pem"}, {"verify_jws": True}):
        with pytest.raises(ConfigError):
            config_of(tmp_path, **more)


# --- with the hub itself


def test_the_hub_takes_what_a_connector_signs_and_proves(
    committed_world: World, live_server: LiveServer, tmp_path: Path, settings: Any
) -> None:
    for name, value in (proofs.TOKEN | proofs.SIGNED | {"DATE_TOLERANCE_S": 300}).items():
        setattr(settings, name, value)
    proofs.register_key("green")
    registered = proofs.register_client("green")
    config = config_of(
        tmp_path,
        hub_url=live_server.url,
        signing_key=write(tmp_path, "green.pem", proofs.private_pem(key_of("green"))),
        token_url=f"{live_server.url}/token",
        token_client=registered.credential.label,
        token_secret_file=write(tmp_path, "secret", registered.secret + "\n"),
    )

    async def tell() -> None:
        async with HubClient(config) as hub:
            assert (await hub.send("GET", "/parties/MSISDN/1")).said is Said.YES
            quote = json.dumps(messages.quote()).encode()
            assert (await hub.send("POST", "/quotes", quote, destination="blue")).said is Said.YES

    asyncio.run(tell())


# --- what calls the connector


@asynccontextmanager
async def connector(config: Config) -> AsyncIterator[None]:
    async with HttpBackend("http://127.0.0.1:9") as backend, Connector(config, backend):
        yield


def signed(method: str, path: str, body: bytes, *, source: str, signer: str) -> dict[str, str]:
    date = http_date(datetime.now(UTC))
    text = jws.sign(body, key=key_of(signer), method=method, uri=path, source=source, destination="green", date=date)
    return {"FSPIOP-Signature": text, "FSPIOP-URI": path, "FSPIOP-HTTP-Method": method, "Date": date}


def test_a07_a_forged_callback_is_refused_and_the_truth_is_asked_of_the_hub_alone(tmp_path: Path) -> None:
    port = free_port()
    config = config_of(
        tmp_path,
        inbound_port=port,
        outbound_port=free_port(),
        verify_jws=True,
        jws_keys={name: public(tmp_path, name) for name in ("Hub", "blue")},
    )
    elsewhere = TRANSFER.replace("b51ec534", "00000000")
    forged = {
        "unsigned": {},
        "signed by blue as the hub": signed("PUT", TRANSFER, COMMITTED, source="Hub", signer="blue"),
        "signed by a stranger": signed("PUT", TRANSFER, COMMITTED, source="Hub", signer="stranger"),
        "of another transfer": signed("PUT", elsewhere, COMMITTED, source="Hub", signer="Hub"),
        "of another method": signed("PATCH", TRANSFER, COMMITTED, source="Hub", signer="Hub"),
        "of another body": signed("PUT", TRANSFER, b"{}", source="Hub", signer="Hub"),
    }

    async def tell() -> None:
        async with connector(config), aiohttp.ClientSession() as session:

            async def call(headers: dict[str, str], source: str = "Hub") -> tuple[int, str]:
                sent = {
                    "Content-Type": "application/vnd.interoperability.transfers+json;version=1.1",
                    "Date": http_date(datetime.now(UTC)),
                    "FSPIOP-Source": source,
                    "FSPIOP-Destination": "green",
                }
                url = f"http://127.0.0.1:{port}{TRANSFER}"
                async with session.put(url, data=COMMITTED, headers=sent | headers) as answer:
                    return answer.status, (await answer.json(content_type=None))["errorInformation"]["errorCode"]

            answers = {name: await call(headers) for name, headers in forged.items()}
            assert answers == dict.fromkeys(forged, (400, "3105"))
            # The hub's own word passes the door, where it finds that there is no such transfer.
            true = signed("PUT", TRANSFER, COMMITTED, source="Hub", signer="Hub")
            assert (await call(true))[1] == "3208"
            # Blue is known and says it in its own name: only the hub says how an incoming transfer ended.
            own = signed("PUT", TRANSFER, COMMITTED, source="blue", signer="blue")
            assert (await call(own, source="blue"))[1] == "3208"

    asyncio.run(tell())


def test_a18_a_connector_reads_no_more_than_a_message_may_be(tmp_path: Path) -> None:
    port, inside = free_port(), free_port()
    config = config_of(tmp_path, inbound_port=port, outbound_port=inside)
    values = b'{"a":[' + b"[]," * 20_000 + b"[]]}"

    async def tell() -> None:
        async with connector(config), aiohttp.ClientSession() as session:

            async def told(url: str, body: bytes) -> tuple[int, str]:
                async with session.put(url, data=body) as answer:
                    information = (await answer.json(content_type=None))["errorInformation"]
                    return answer.status, f"{information['errorCode']} {information['errorDescription']}"

            url = f"http://127.0.0.1:{port}{TRANSFER}"
            assert await told(url, b" " * 65_537) == (400, "3104 Too large payload - at most 65536 bytes")
            assert await told(url, values) == (400, "3104 Too large payload - at most 2048 values")
            async with session.post(f"http://127.0.0.1:{inside}/payments", data=b" " * 65_537) as answer:
                assert answer.status == 413

    asyncio.run(tell())


PARTY = "/parties/MSISDN/1"


def asked(headers: dict[str, str]) -> Claimed:
    """GET /parties, on its way from the hub to a DFSP."""
    return Claimed(
        id=1,
        destination_id=1,
        method="GET",
        path=PARTY,
        headers=headers,
        body=b"",
        subject="s",
        kind="party-asked",
        signed_by_hub=False,
        reply_to_id=None,
        error_path=None,
        attempts=1,
        age_s=0.0,
        lease=datetime.now(UTC),
    )


@pytest.mark.parametrize(("shows", "status"), [("the scheme's", 202), ("another's", 0), ("nothing", 0)])
def test_only_who_shows_a_certificate_of_the_scheme_may_call_a_connector(
    tmp_path: Path, shows: str, status: int
) -> None:
    port = free_port()
    authority = write(tmp_path, "authority.pem", proofs.pem_of(SCHEME.certificate))
    config = config_of(
        tmp_path,
        inbound_port=port,
        outbound_port=free_port(),
        inbound_cert=write(tmp_path, "in.pem", proofs.pem_of(SCHEME.issue("localhost", host="localhost"))),
        inbound_key=write(tmp_path, "in.key", proofs.private_pem(key_of("localhost"))),
        inbound_client_ca=authority,
        inbound_client_name="hub",
    )
    issuer = {"the scheme's": SCHEME, "another's": OTHER}.get(shows)
    shown = {"CALLBACK_CA_FILE": authority}
    if issuer is not None:
        shown["CALLBACK_CLIENT_CERT_FILE"] = write(tmp_path, "hub.pem", proofs.pem_of(issuer.issue("hub")))
        shown["CALLBACK_CLIENT_KEY_FILE"] = write(tmp_path, "hub.key", proofs.private_pem(key_of("hub")))
    headers = {
        "fspiop-source": "Hub",
        "date": http_date(datetime.now(UTC)),
        "accept": "application/vnd.interoperability.parties+json;version=1",
        "content-type": "application/vnd.interoperability.parties+json;version=1.1",
    }

    async def tell() -> int:
        async with connector(config), Curl() as curl:
            return (await client.send(curl, asked(headers), f"https://localhost:{port}{PARTY}", headers)).status

    with override_settings(**shown):
        assert asyncio.run(tell()) == status


def test_the_hub_calls_nobody_whose_certificate_the_scheme_did_not_issue(tmp_path: Path) -> None:
    port = free_port()
    config = config_of(
        tmp_path,
        inbound_port=port,
        outbound_port=free_port(),
        inbound_cert=write(tmp_path, "in.pem", proofs.pem_of(OTHER.issue("localhost", host="localhost"))),
        inbound_key=write(tmp_path, "in.key", proofs.private_pem(key_of("localhost"))),
    )

    async def tell() -> str:
        async with connector(config), Curl() as curl:
            return (await client.send(curl, asked({}), f"https://localhost:{port}{PARTY}", {})).error

    with override_settings(CALLBACK_CA_FILE=write(tmp_path, "ca.pem", proofs.pem_of(SCHEME.certificate))):
        assert "certificate" in asyncio.run(tell())
