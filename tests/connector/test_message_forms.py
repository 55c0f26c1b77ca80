"""A connector with `message_form = "iso20022"` sends and takes ISO 20022 messages, and the core sees no difference."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest

from fspiop import ilp
from fspiop.iso20022 import ilp4
from kitovu_connector.config import ConfigError
from tests.api import iso_messages as messages
from tests.connector.hub_stub import Scheme, config_of, quote, scheme, transfer
from tests.connector.test_inbound_door import until

ASHA = "255712001001"


async def blue_says(world: Scheme, method: str, path: str, body: Any, *, is_iso20022: bool = True) -> int:
    return await world.send(method, path, body, source="blue", signer="blue", shows="hub", is_iso20022=is_iso20022)


def asked() -> dict[str, Any]:
    """POST /quotes by blue, for green's customer."""
    found = messages.quote("100", InstrId="b51ec534-ee48-4575-b6a9-ead2955b8069")
    terms = found["CdtTrfTxInf"]
    terms |= {"DbtrAgt": messages.agent("blue"), "CdtrAgt": messages.agent("green")}
    terms["Cdtr"] = messages.customer(ASHA, ";;;Asha Mrema")
    terms["InstrForNxtAgt"] = {"InstrInf": "for lunch"}
    return found


def test_a_payment_to_a_customer_is_agreed_and_made_in_iso_20022(tmp_path: Path) -> None:
    async def story() -> None:
        async with scheme(tmp_path, "nothing", message_form="iso20022") as world:
            assert await blue_says(world, "GET", f"/parties/MSISDN/{ASHA}", None) == 202
            await world.until("PUT", "/parties/")
            (party,) = world.bodies("PUT", f"/parties/MSISDN/{ASHA}")
            assert party["Rpt"]["UpdtdPtyAndAcctId"]["Pty"] == messages.customer(ASHA, ";;;Asha")
            wanted = asked()
            quote_id = messages.id_of(wanted)
            assert await blue_says(world, "POST", "/quotes", wanted) == 202
            await world.until("PUT", "/quotes/")
            (given,) = world.bodies("PUT", f"/quotes/{quote_id}")
            (terms,) = world.core.asked
            assert (terms.payer.name, terms.note) == ("Payer One", "for lunch")
            lock = given["CdtTrfTxInf"]["VrfctnOfTerms"]["IlpV4PrepPacket"]
            sent = messages.transfer("100")
            sent["CdtTrfTxInf"] |= {"DbtrAgt": messages.agent("blue"), "CdtrAgt": messages.agent("green")}
            sent["CdtTrfTxInf"]["VrfctnOfTerms"] = {"IlpV4PrepPacket": lock}
            transfer_id = messages.id_of(sent)
            assert await blue_says(world, "POST", "/transfers", sent) == 202
            await world.until("PUT", "/transfers/")
            (answer,) = world.bodies("PUT", f"/transfers/{transfer_id}")
            condition = messages.base64url.encode(ilp4.decode_prepare(lock).condition)
            assert answer["TxInfAndSts"]["TxSts"] == "RESV"
            assert ilp.fulfils(answer["TxInfAndSts"]["ExctnConf"], condition)
            again = sent | {"GrpHdr": messages.payment_header()}  # with another id, and another time of expiry
            again["GrpHdr"]["PmtInstrXpryDtTm"] = sent["GrpHdr"]["PmtInstrXpryDtTm"]
            assert await blue_says(world, "POST", "/transfers", again) == 202
            done = messages.fulfilment("COMM")
            del done["TxInfAndSts"]["ExctnConf"]
            said = {"source": "Hub", "signer": "Hub", "shows": "hub", "is_iso20022": True}
            assert await world.send("PATCH", f"/transfers/{transfer_id}", done, **said) == 200
            await until(lambda: world.core.credited == [transfer_id])

    asyncio.run(story())


def test_a_lookup_of_nobody_is_answered_in_iso_20022(tmp_path: Path) -> None:
    async def story() -> None:
        async with scheme(tmp_path, "nothing", message_form="iso20022") as world:

            async def nobody(*_: Any) -> None:
                return None

            world.core.find_party = nobody  # type: ignore[method-assign]
            assert await blue_says(world, "GET", f"/parties/MSISDN/{ASHA}", None) == 202
            await world.until("PUT", "/parties/")
            ((_, path, body),) = [each for each in world.asked if each[1].startswith("/parties")]
            assert path.endswith("/error")
            assert body["Rpt"]["Rsn"] == {"Cd": "3204"}

    asyncio.run(story())


@pytest.mark.parametrize("is_iso20022", [True, False])
def test_another_dfsps_other_form_is_refused_and_the_hubs_is_read(tmp_path: Path, is_iso20022: bool) -> None:
    """Before the GET was checked, a plain connector answered a lookup that asks for ISO 20022 in the plain form."""

    async def story() -> None:
        async with scheme(tmp_path, "nothing", message_form="iso20022" if is_iso20022 else "plain") as world:
            other = not is_iso20022
            assert await blue_says(world, "GET", f"/parties/MSISDN/{ASHA}", None, is_iso20022=other) == 406
            body = quote(payee={"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": ASHA}})
            wanted = asked() if other else body
            assert await blue_says(world, "POST", "/quotes", wanted, is_iso20022=other) == 406
            assert world.core.asked == []
            unknown = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
            told = messages.fulfilment() if other else {"transferState": "COMMITTED"}
            said = {"source": "Hub", "signer": "Hub", "shows": "hub", "is_iso20022": other}
            assert await world.send("PUT", unknown, told, **said) == 400  # read, and no transfer has this id

    asyncio.run(story())


def test_terms_from_before_a_change_of_the_form_are_still_fulfilled(tmp_path: Path) -> None:
    """The transfer arrived before the change; the connector was stopped before it answered."""

    async def story() -> None:
        async with scheme(tmp_path, "nothing") as world:
            wanted = quote()
            assert await blue_says(world, "POST", "/quotes", wanted, is_iso20022=False) == 202
            await world.until("PUT", "/quotes/")
            (offered,) = world.bodies("PUT", f"/quotes/{wanted['quoteId']}")
            may_go_on = asyncio.Event()
            reserve = world.core.reserve

            async def late(incoming: Any) -> None:
                await may_go_on.wait()
                await reserve(incoming)

            world.core.reserve = late  # type: ignore[method-assign]
            sent = transfer(offered)
            assert await blue_says(world, "POST", "/transfers", sent, is_iso20022=False) == 202
            await world.stop()
            world.config = dataclasses.replace(world.config, message_form="iso20022")
            may_go_on.set()
            await world.start()
            await world.until("PUT", "/transfers/")
            (answer,) = world.bodies("PUT", f"/transfers/{sent['transferId']}")
            assert ilp.fulfils(answer["TxInfAndSts"]["ExctnConf"], offered["condition"])

    asyncio.run(story())


def test_a_wrong_element_is_named_by_its_iso_20022_name(tmp_path: Path) -> None:
    async def story() -> None:
        async with scheme(tmp_path, "nothing", message_form="iso20022") as world:
            wrong = asked()
            del wrong["CdtTrfTxInf"]["CdtrAgt"]
            assert await blue_says(world, "POST", "/quotes", wrong) == 400

    asyncio.run(story())


def test_the_setting_has_two_values(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="message_form must be one of plain, iso20022"):
        config_of(tmp_path, "nothing", message_form="xml")
