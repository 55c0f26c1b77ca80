"""A payment between two connectors where everything must be proven: tokens, the hub's signatures, each other's."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pytest_django.live_server_helper import LiveServer

from hub.local.net import free_port
from hub.outbox.courier import Courier
from kitovu_connector.backend import IncomingMoney, PartyDetails, Terms, TermsWanted
from kitovu_connector.config import Config
from kitovu_connector.connector import Connector
from kitovu_connector.orders_and_payments import Order
from kitovu_connector.payment_order import PartyRef
from kitovu_connector.payment_states import State
from ledger import invariants
from ledger.models import Transfer
from tests import proofs
from tests.api.caller import dfsp, error_of
from tests.outbox.test_courier import send_to
from tests.proofs import key_of
from tests.world import World, amount

NAMES = ("green", "blue")


class Core:
    """A bank with one customer."""

    def __init__(self) -> None:
        self.credited: list[str] = []

    async def find_party(self, id_type: str, id_value: str, sub_id: str | None) -> PartyDetails | None:
        return PartyDetails("Baraka")

    async def give_terms(self, wanted: TermsWanted) -> Terms:
        return Terms(receive_amount=wanted.amount)

    async def reserve(self, incoming: IncomingMoney) -> None:
        pass

    async def commit(self, incoming: IncomingMoney) -> None:
        self.credited.append(incoming.transfer_id)

    async def release(self, transfer_id: str) -> None:
        raise AssertionError("nothing is aborted here")


def config_of(name: str, folder: Path, hub_url: str, jws_keys: dict[str, tuple[str, ...]]) -> Config:
    mine = folder / name
    mine.mkdir()
    (mine / "jws.pem").write_text(proofs.private_pem(key_of(name)))
    registered = proofs.register_client(name)
    proofs.register_key(name)
    return Config(
        dfsp=name,
        hub_url=hub_url,
        state=mine,
        ilp_secret=f"the secret of {name}",
        inbound_host="localhost",
        inbound_port=free_port(),
        outbound_port=free_port(),
        signing_key=str(mine / "jws.pem"),
        verify_jws=True,
        jws_keys=jws_keys,
        token_url=f"{hub_url}/token",
        token_client=registered.credential.label,
        token_secret=registered.secret,
    )


async def pay(configs: dict[str, Config], cores: dict[str, Core]) -> State:
    async with Connector(configs["green"], cores["green"]) as green, Connector(configs["blue"], cores["blue"]):
        alias = {"idType": "MSISDN", "idValue": "255655001001", "currency": "TZS"}
        url = f"http://127.0.0.1:{configs['blue'].outbound_port}/aliases"
        async with aiohttp.ClientSession() as core, core.post(url, json=alias) as answer:
            assert answer.status == 201
        order = Order(
            home_id="P1",
            payer=PartyRef(id_type="MSISDN", id_value="255712001001", name="Asha"),
            payee=PartyRef(id_type="MSISDN", id_value="255655001001"),
            amount="25",
            currency="TZS",
        )
        payment = await green.pay(order)
        for _ in range(100):  # the payee hears the end by a callback of its own
            if cores["blue"].credited:
                break
            await asyncio.sleep(0.1)
        return payment.state


def pinned(config: Config, folder: Path, settings: Any) -> Config:
    """The connector lets in the hub's connections only."""
    scheme = proofs.Authority("scheme")
    for name, host in (("hub", None), ("localhost", "localhost")):
        (folder / f"{name}.crt").write_text(proofs.pem_of(scheme.issue(name, host=host)))
        (folder / f"{name}.tls").write_text(proofs.private_pem(key_of(name)))
    (folder / "ca.pem").write_text(proofs.pem_of(scheme.certificate))
    settings.CALLBACK_CA_FILE = str(folder / "ca.pem")
    settings.CALLBACK_CLIENT_CERT_FILE = str(folder / "hub.crt")
    settings.CALLBACK_CLIENT_KEY_FILE = str(folder / "hub.tls")
    return replace(
        config,
        inbound_cert=str(folder / "localhost.crt"),
        inbound_key=str(folder / "localhost.tls"),
        inbound_client_ca=str(folder / "ca.pem"),
        inbound_client_name="hub",
    )


@pytest.mark.parametrize("is_pinned", [True, False], ids=["the hub's certificate is known", "only signatures"])
@pytest.mark.parametrize("fulfil_state", ["RESERVED", "COMMITTED"])
def test_a_payment_commits_where_everything_must_be_proven(
    committed_world: World,
    live_server: LiveServer,
    tmp_path: Path,
    settings: Any,
    is_pinned: bool,
    fulfil_state: str,
) -> None:
    commit_one(committed_world, live_server, tmp_path, settings, is_pinned=is_pinned, fulfil_state=fulfil_state)


@pytest.mark.parametrize("ahead_s", [0.5, 9.0])
def test_a_payment_commits_though_the_clocks_of_both_dfsps_are_ahead_of_the_hubs(
    committed_world: World,
    live_server: LiveServer,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    ahead_s: float,
) -> None:
    """The hub (datetime.now) refuses a completedTimestamp that lies in the future, and the payee then had nothing."""
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + ahead_s)
    commit_one(committed_world, live_server, tmp_path, settings, is_pinned=True, fulfil_state="RESERVED")


def commit_one(
    committed_world: World,
    live_server: LiveServer,
    tmp_path: Path,
    settings: Any,
    *,
    is_pinned: bool,
    fulfil_state: str,
) -> None:
    """A payment of green's customer to blue's, through the hub."""
    for name, value in (proofs.TOKEN | proofs.SIGNED).items():
        setattr(settings, name, value)
    (tmp_path / "hub.pem").write_text(proofs.private_pem(key_of("hub")))
    settings.HUB_SIGNING_KEY_FILE = str(tmp_path / "hub.pem")
    keys = {}
    for name, key in {"Hub": key_of("hub"), "green": key_of("green"), "blue": key_of("blue")}.items():
        (tmp_path / f"{name}.pub").write_text(proofs.public_pem(key))
        keys[name] = (str(tmp_path / f"{name}.pub"),)
    configs = {name: config_of(name, tmp_path, live_server.url, keys) for name in NAMES}
    configs["blue"] = replace(configs["blue"], fulfil_state=fulfil_state)
    scheme = "http"
    if is_pinned:
        scheme, configs = "https", {name: pinned(config, tmp_path, settings) for name, config in configs.items()}
    cores = {name: Core() for name in NAMES}
    for name in NAMES:
        send_to(name, f"{scheme}://localhost:{configs[name].inbound_port}")
    assert error_of(dfsp("GET", "/parties/MSISDN/1"))[0] == 401  # nobody gets in without
    courier = Courier()
    courier.start()
    try:
        assert asyncio.run(pay(configs, cores)) is State.COMMITTED
    finally:
        courier.stop(timeout_s=8)
    transfer = Transfer.objects.get()
    assert (transfer.state, cores["blue"].credited) == ("COMMITTED", [transfer.pk])
    assert committed_world.position("green") == amount(25)
    assert invariants.find_breaks() == []
