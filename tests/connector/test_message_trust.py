"""What a connector believes of whom (A07): once a transfer is sent, the hub alone; before, whom the hub names.

`straight` is a DFSP of the scheme that knows our inbound port: it sends past the hub what it could send through it,
with its own name, key and certificate.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from kitovu_connector import tls
from kitovu_connector.config import ConfigError
from kitovu_connector.payment_and_quote_records import QuoteGiven
from kitovu_connector.payment_states import ENDS, Payment, State
from tests import proofs
from tests.connector.hub_stub import (
    AUTHORITY,
    PAYEE,
    PROOFS,
    Scheme,
    config_of,
    error,
    quote,
    scheme,
    terms,
    told,
    transfer,
)
from tests.keys import FULFILMENT, OTHER_FULFILMENT

every_proof = pytest.mark.parametrize("proof", PROOFS)
without_pin = pytest.mark.parametrize("proof", ["signatures", "nothing"])


def tell(folder: Path, proof: str, story: Callable[[Scheme], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        async with scheme(folder, proof, **more) as found:
            await story(found)

    asyncio.run(run())


# --- how a transfer ended, told to its payer --------------------------------------------------------------------------


@every_proof
@pytest.mark.parametrize("code", ["5104", "3303", "4200", "3208"])
def test_an_error_of_the_payee_straight_to_the_payer_ends_nothing(tmp_path: Path, proof: str, code: str) -> None:
    async def story(world: Scheme) -> None:
        payment = await world.pay()
        path = f"/transfers/{payment.transfer_id}"
        status = await world.straight("PUT", path + "/error", error(code), "blue")
        assert status == (403 if world.config.is_pinned else 200)
        await asyncio.sleep(0.2)
        assert world.payment().state not in ENDS
        # The hub commits, and says so.
        world.state = "COMMITTED"
        assert await world.hub_says("PUT", path, told("COMMITTED")) == 200
        assert (await world.ended()).state is State.COMMITTED

    tell(tmp_path, proof, story)


@every_proof
def test_a_fulfilment_straight_to_the_payer_commits_nothing_that_the_hub_aborted(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        payment = await world.pay()
        path = f"/transfers/{payment.transfer_id}"
        await world.straight("PUT", path, told("COMMITTED"), "blue")
        await asyncio.sleep(0.2)
        assert world.payment().state not in ENDS
        world.state = "ABORTED"
        assert await world.hub_says("PUT", path + "/error", error("3303")) == 200
        ended = await world.ended()
        assert (ended.state, ended.error_code) == (State.ABORTED, "3303")

    tell(tmp_path, proof, story)


@every_proof
@pytest.mark.parametrize(("state", "end"), [("COMMITTED", State.COMMITTED), ("ABORTED", State.ABORTED)])
def test_what_the_payee_says_through_the_hub_ends_the_payment(
    tmp_path: Path, proof: str, state: str, end: State
) -> None:
    """Where the connection is not known to be the hub's, the hub is asked, and its answer ends it."""

    async def story(world: Scheme) -> None:
        payment = await world.pay()
        path = f"/transfers/{payment.transfer_id}"
        world.state = state
        if state == "COMMITTED":
            assert await world.hub_passes_on("PUT", path, told("COMMITTED")) == 200
        else:
            assert await world.hub_passes_on("PUT", path + "/error", error("5104")) == 200
        ended = await world.ended()
        assert (ended.state, ended.error_code) == (end, "5104" if end is State.ABORTED else None)
        assert world.count("GET", path) == (0 if world.config.is_pinned else 1)

    tell(tmp_path, proof, story)


@every_proof
def test_nobody_but_payee_and_hub_is_heard_about_a_transfer(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        payment = await world.pay()
        path = f"/transfers/{payment.transfer_id}"
        refused = 403 if world.config.is_pinned else 400
        for source in ("red", "green"):
            if source == "green" and world.config.verify_jws:
                continue
            assert await world.straight("PUT", path, told("COMMITTED"), source) == refused
            assert await world.straight("PUT", path + "/error", error("5104"), source) == refused
        if proof != "nothing":  # where nothing is proven, whoever reaches the port is the hub
            forged = await world.send("PUT", path + "/error", error("5104"), source="Hub", signer="red", shows="red")
            assert forged == refused
        assert world.count("GET", path) == 0
        assert world.payment().state not in ENDS

    tell(tmp_path, proof, story)


@every_proof
def test_what_is_addressed_to_another_or_is_none_of_a_payers_messages_ends_nothing(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        path = f"/transfers/{(await world.pay()).transfer_id}"
        by_hub = {"source": "Hub", "signer": "Hub", "shows": "hub"}
        for name in ("GREEN", "blue"):
            body = told("COMMITTED")
            assert await world.send("PUT", path, body, **by_hub, destination=name) == 400
            assert await world.send("PUT", path + "/error", error("5104"), **by_hub, destination=name) == 400
        assert await world.hub_says("PATCH", path, told("ABORTED")) in (400, 404)
        assert world.payment().state not in ENDS

    tell(tmp_path, proof, story)


@without_pin
def test_hints_make_a_connector_ask_no_more_than_once_a_second(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        path = f"/transfers/{(await world.pay()).transfer_id}"
        began = asyncio.get_running_loop().time()
        for number in range(60):
            body = told("COMMITTED") if number % 2 else told("RESERVED")
            assert await world.straight("PUT", path, body, "blue") == 200
            assert await world.straight("PUT", path + "/error", error("5104"), "blue") == 200
        assert world.count("GET", path) <= 2 + asyncio.get_running_loop().time() - began
        assert world.payment().state not in ENDS
        world.state = "COMMITTED"
        assert (await world.ended()).state is State.COMMITTED  # it asks again by itself

    tell(tmp_path, proof, story)


@every_proof
def test_the_hubs_committed_without_the_fulfilment_is_not_believed(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        path = f"/transfers/{(await world.pay()).transfer_id}"
        for fulfilment in (None, OTHER_FULFILMENT):
            assert await world.hub_says("PUT", path, told("COMMITTED", fulfilment=fulfilment)) == 400
        assert world.payment().state not in ENDS
        assert await world.hub_says("PUT", path, told("COMMITTED", fulfilment=FULFILMENT)) == 200
        assert (await world.ended()).state is State.COMMITTED

    tell(tmp_path, proof, story)


def test_not_found_ends_a_payment_only_where_the_hub_said_it_after_the_expiration(tmp_path: Path) -> None:
    """A callback waits at the hub while we are away: what it says was so when it was written."""

    async def story(world: Scheme) -> None:
        world.is_busy = True
        payment = await world.pay()
        world.state = "UNKNOWN"
        world.says_at = datetime.fromtimestamp(payment.expires_at, UTC) - timedelta(seconds=1)
        await asyncio.sleep(1.5)  # past expiration and margin
        path = f"/transfers/{payment.transfer_id}"
        await world.until("GET", path, world.count("GET", path) + 1)
        assert await world.hub_says("PUT", path + "/error", error("3208")) == 200
        assert world.payment().state is State.DOUBT
        world.says_at = None
        assert (await world.ended()).state is State.ABORTED

    tell(tmp_path, "signatures", story, transfer_expiry_s=1.0, clock_margin_s=0.2, ask_again_s=0.3)


# --- before it is sent ------------------------------------------------------------------------------------------------


@every_proof
def test_a_stranger_who_answers_a_lookup_is_not_paid(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        first = "parties" if world.config.is_pinned else "participants"
        world.answers.discard(first)  # it takes its time
        paying = asyncio.create_task(world.pay())
        await world.until("GET", f"/{first}")
        path = f"/parties/MSISDN/{PAYEE}"
        alias = {"partyIdType": "MSISDN", "partyIdentifier": PAYEE}
        refused = 403 if world.config.is_pinned else 400
        for named in ("red", "blue"):
            party = {"party": {"partyIdInfo": alias | {"fspId": named}}}
            assert await world.straight("PUT", path, party, "red") == refused
        assert await world.straight("PUT", path + "/error", error("3204"), "red") == refused
        if first == "participants":
            # The hub names blue; now red answers before blue does.
            world.answers.discard("parties")
            assert await world.hub_says("PUT", f"/participants/MSISDN/{PAYEE}", {"fspId": "blue"}) == 200
            await world.until("GET", "/parties")
            assert await world.straight("PUT", path, party, "red") == refused
            assert await world.straight("PUT", path + "/error", error("3204"), "red") == refused
        assert await world.hub_passes_on("PUT", path, party) == 200
        payment = await paying
        assert payment.payee is not None
        assert payment.payee.fsp_id == "blue"
        assert world.bodies("POST", "/transfers")[0]["payeeFsp"] == "blue"

    tell(tmp_path, proof, story)


@without_pin
def test_only_the_hub_says_whose_an_alias_is(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("participants")
        paying = asyncio.create_task(world.pay())
        await world.until("GET", "/participants")
        path = f"/participants/MSISDN/{PAYEE}"
        assert await world.straight("PUT", path, {"fspId": "red"}, "red") == 400
        assert await world.straight("PUT", path + "/error", error("3204"), "red") == 400
        assert world.payment().owner is None
        assert await world.hub_says("PUT", path, {"fspId": "blue"}) == 200
        assert (await paying).owner == "blue"

    tell(tmp_path, proof, story)


@every_proof
def test_a_dfsp_that_gives_its_customer_to_another_is_not_paid(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("parties")
        paying = asyncio.create_task(world.pay())
        await world.until("GET", "/parties")
        party = {"party": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": PAYEE, "fspId": "red"}}}
        await world.hub_passes_on("PUT", f"/parties/MSISDN/{PAYEE}", party)
        ended = await world.ended()
        assert (ended.state, ended.error_code) == (State.ABORTED, "3203")
        paying.cancel()

    tell(tmp_path, proof, story)


@every_proof
def test_a_stranger_gives_and_refuses_no_terms(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("quotes")
        paying = asyncio.create_task(world.pay())
        await world.until("POST", "/quotes")
        path = f"/quotes/{world.payment().quote_id}"
        refused = 403 if world.config.is_pinned else 400
        assert await world.straight("PUT", path, terms(), "red") == refused
        assert await world.straight("PUT", path + "/error", error("5200"), "red") == refused
        assert world.payment().state is State.QUOTE
        await world.hub_passes_on("PUT", path, terms())
        assert (await paying).state in (State.PREPARED, State.ACCEPTED)

    tell(tmp_path, proof, story)


@every_proof
def test_a_registration_is_confirmed_by_the_hub_alone(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        alias = {"idType": "MSISDN", "idValue": "255712001001"}
        url = f"http://127.0.0.1:{world.config.outbound_port}/aliases"
        path = "/participants/MSISDN/255712001001"
        async with aiohttp.ClientSession() as core:
            registering = asyncio.create_task(_status(core.post(url, json=alias)))
            await world.until("POST", "/participants")
            for body in ({"fspId": "green"}, {}):
                assert await world.straight("PUT", path, body, "red") in (400, 403)
            assert await world.straight("PUT", path + "/error", error("3003"), "red") in (400, 403)
            # The hub's answer to somebody's question about it is none to us.
            assert await world.hub_says("PUT", path, {"fspId": "blue"}) == 200
            await asyncio.sleep(0.1)
            assert not registering.done()
            party = {"partyIdType": "MSISDN", "partyIdentifier": "255712001001", "fspId": "green"}
            assert await world.hub_says("PUT", path, {"partyList": [party]}) == 200
            assert await registering == 201

    tell(tmp_path, proof, story)


async def _status(request: Any) -> int:
    async with request as answer:
        return int(answer.status)


# --- after a restart --------------------------------------------------------------------------------------------------


@without_pin
def test_what_was_only_hinted_is_asked_again_after_a_restart(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        path = f"/transfers/{(await world.pay()).transfer_id}"
        world.answers.discard("transfers")  # the question is lost
        assert await world.straight("PUT", path, told("COMMITTED"), "blue") == 200
        await world.until("GET", path)
        await world.stop()
        world.answers.add("transfers")
        world.state = "COMMITTED"
        await world.start()
        assert (await world.ended()).state is State.COMMITTED
        assert world.count("POST", "/transfers") == 1

    tell(tmp_path, proof, story)


@without_pin
def test_a_lookup_goes_on_after_a_restart_where_it_stood(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        world.answers.discard("participants")
        paying = asyncio.create_task(world.pay())
        await world.until("GET", "/participants")
        await world.stop()
        world.answers.add("participants")
        world.answers.discard("parties")
        await world.start()
        await world.until("GET", "/parties")
        assert world.payment().owner == "blue"
        asked = world.count("GET", "/participants")
        await world.stop()
        world.answers.add("parties")
        await world.start()
        await world.until("POST", "/transfers")
        assert world.count("GET", "/participants") == asked
        await paying

    tell(tmp_path, proof, story)


def test_records_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    """What a connector before this one has left under way."""
    old = {
        "order": {
            "home_id": "R",
            "payer": {"id_type": "MSISDN", "id_value": "1", "name": "Asha"},
            "payee": {"id_type": "MSISDN", "id_value": PAYEE},
            "amount": 50_000,
            "currency": "TZS",
        },
        "transfer_id": "t",
        "quote_id": "q",
        "transaction_id": "x",
        "created_at": 1.0,
        "state": "ACCEPTED",
        "payee": {"id_type": "MSISDN", "id_value": PAYEE, "fsp_id": "blue"},
    }
    payment = msgspec.convert(old, Payment)
    assert (payment.owner, payment.order.scenario, payment.asked_at) == (None, "TRANSFER", 0.0)
    given = {"quote_id": "q", "digest": "", "request": "", "payer_fsp": "blue", "payer_type": "MSISDN", "note": "x"}
    assert msgspec.convert(given, QuoteGiven).payer_fsp == "blue"


# --- told to a payee --------------------------------------------------------------------------------------------------


async def taken(world: Scheme) -> str:
    """Has green fulfil a transfer of blue's; returns its path."""
    asked = quote()
    assert await world.hub_passes_on("POST", "/quotes", asked) == 202
    await world.until("PUT", f"/quotes/{asked['quoteId']}")
    (offered,) = world.bodies("PUT", f"/quotes/{asked['quoteId']}")
    body = transfer(offered)
    assert await world.hub_passes_on("POST", "/transfers", body) == 202
    await world.until("PUT", f"/transfers/{body['transferId']}")
    return f"/transfers/{body['transferId']}"


@every_proof
@pytest.mark.parametrize("fulfil_state", ["RESERVED", "COMMITTED"])
def test_only_the_hubs_word_credits_or_releases(tmp_path: Path, proof: str, fulfil_state: str) -> None:
    async def story(world: Scheme) -> None:
        path = await taken(world)
        refused = 403 if world.config.is_pinned else 400
        for source in ("blue", "red"):
            for method, ending, body in (
                ("PATCH", "", told("COMMITTED")),
                ("PATCH", "", told("ABORTED")),
                ("PUT", "", told("COMMITTED")),
                ("PUT", "/error", error("3303")),
                ("PUT", "/error", error("3208")),
            ):
                assert await world.straight(method, path + ending, body, source) == refused, (source, method, ending)
        if proof != "nothing":
            forged = await world.send("PATCH", path, told("COMMITTED"), source="Hub", signer="blue", shows="blue")
            assert forged == refused
        await asyncio.sleep(0.2)
        assert (world.core.credited, world.core.released) == ([], [])
        method = "PATCH" if fulfil_state == "RESERVED" else "PUT"
        own = world.bodies("PUT", path)[0]["fulfilment"]
        assert await world.hub_says(method, path, told("COMMITTED", fulfilment=own)) == 200
        await _until(lambda: world.core.credited == [path.rpartition("/")[2]])

    tell(tmp_path, proof, story, fulfil_state=fulfil_state)


@every_proof
def test_what_the_hub_passes_on_in_a_dfsps_words_ends_nothing_for_a_payee(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        path = await taken(world)
        assert await world.hub_passes_on("PATCH", path, told("COMMITTED")) == 400
        assert await world.hub_passes_on("PUT", path, told("COMMITTED")) == 400
        await asyncio.sleep(0.2)
        assert (world.core.credited, world.core.released) == ([], [])

    tell(tmp_path, proof, story)


@every_proof
def test_a_transfer_that_the_hub_never_had_is_released_when_it_cannot_come_any_more(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        path = await taken(world)
        assert await world.hub_says("PUT", path + "/error", error("3208")) == 200
        await asyncio.sleep(0.2)
        assert world.core.released == []  # it may come yet
        world.says_at = datetime.now(UTC) + timedelta(seconds=60)
        assert await world.hub_says("PUT", path + "/error", error("3208")) == 200
        await _until(lambda: world.core.released == [path.rpartition("/")[2]])
        assert world.core.credited == []

    tell(tmp_path, proof, story)


@every_proof
def test_terms_are_asked_in_ones_own_name_of_ones_own_customers(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        for changes in (
            {"payer": quote()["payer"]["partyIdInfo"] | {"fspId": "red"}},
            {"payee": quote()["payee"]["partyIdInfo"] | {"fspId": "GREEN"}},
        ):
            body = quote(**{side: {"partyIdInfo": info} for side, info in changes.items()})
            assert await world.hub_passes_on("POST", "/quotes", body) == 400
        assert world.core.asked == []

    tell(tmp_path, proof, story)


@every_proof
def test_an_id_with_other_content_is_refused(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        asked = quote()
        assert await world.hub_passes_on("POST", "/quotes", asked) == 202
        await world.until("PUT", f"/quotes/{asked['quoteId']}")
        (offered,) = world.bodies("PUT", f"/quotes/{asked['quoteId']}")
        more = asked | {"amount": {"currency": "TZS", "amount": "10000"}}
        assert await world.hub_passes_on("POST", "/quotes", more) == 400
        nameless = asked | {"payer": {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "1"}}}
        assert await world.hub_passes_on("POST", "/quotes", nameless | {"quoteId": "0" * 26}) == 202
        assert await world.hub_passes_on("POST", "/quotes", nameless | {"quoteId": "0" * 26}, source="red") == 400
        body = transfer(offered)
        assert await world.hub_passes_on("POST", "/transfers", body) == 202
        dearer = body | {"amount": {"currency": "TZS", "amount": "10000"}}
        assert await world.hub_passes_on("POST", "/transfers", dearer) == 400
        await _until(lambda: len(world.core.reserved) == 1)
        assert world.core.reserved[0].amount == Decimal(100)

    tell(tmp_path, proof, story)


async def _until(holds: Callable[[], bool]) -> None:
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came so")


# --- whose connection it is -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proof", ["pinned", "both"])
def test_a_certificate_of_the_scheme_that_is_not_the_hubs_opens_nothing(tmp_path: Path, proof: str) -> None:
    async def story(world: Scheme) -> None:
        for method, path, body in (
            ("GET", "/parties/MSISDN/1", None),
            ("PUT", "/parties/MSISDN/1", {"party": {}}),
            ("PUT", "/participants/MSISDN/1", {"fspId": "blue"}),
            ("POST", "/quotes", quote()),
            ("PUT", f"/quotes/{quote()['quoteId']}", terms()),
            ("POST", "/transfers", {}),
            ("PUT", f"/transfers/{quote()['quoteId']}", told("COMMITTED")),
            ("PATCH", f"/transfers/{quote()['quoteId']}", told("COMMITTED")),
        ):
            assert await world.straight(method, path, body, "blue") == 403
        assert await world.hub_says("GET", "/parties/MSISDN/1", None) == 202

    tell(tmp_path, proof, story)


def test_a_certificate_has_the_names_of_its_hosts_or_its_common_name() -> None:
    subject = ((("organizationName", "Scheme"),), (("commonName", "hub"),))
    assert tls.names_of({"subject": subject}) == {"hub"}
    hosts = (("DNS", "hub.example"), ("DNS", "www.hub.example"), ("IP Address", "10.0.0.1"))
    assert tls.names_of({"subject": subject, "subjectAltName": hosts}) == {"hub.example", "www.hub.example"}
    assert tls.names_of(None) == tls.names_of({}) == frozenset()


def test_a_connector_that_cannot_know_the_hub_does_not_start_unless_its_port_is_said_to_be_private(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError):
        config_of(tmp_path, "nothing").check_callers_are_proven()
    config_of(tmp_path, "nothing", inbound_is_private=True).check_callers_are_proven()
    for proof in ("signatures", "pinned", "both"):
        config_of(tmp_path, proof).check_callers_are_proven()


def test_an_authority_alone_and_keys_without_the_hubs_are_half_a_setting(tmp_path: Path) -> None:
    (tmp_path / "authority.pem").write_text(proofs.pem_of(AUTHORITY.certificate))
    half: list[dict[str, Any]] = [
        {"inbound_cert": "x", "inbound_client_ca": "authority.pem"},
        {"inbound_cert": "x", "inbound_client_name": "hub"},
        {"verify_jws": True, "jws_keys": {"blue": ("blue.pub",)}},
    ]
    for settings in half:
        with pytest.raises(ConfigError):
            config_of(tmp_path, "nothing", **settings)
