"""The elements that bodies are made of: what each takes and what it refuses (FSPIOP API v1.1, sections 7.2 and 7.3)."""

from typing import Annotated, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fspiop import bodies, correlation_ids, money, time
from fspiop.bodies import common
from fspiop.bodies.participants import ParticipantPost
from fspiop.bodies.quotes import QuotePost
from fspiop.errors import FspiopError
from tests.fspiop.messages import CONDITION, ID, ULID


class One(msgspec.Struct):
    amount: common.Amount | None = None
    id: common.CorrelationId | None = None
    condition: common.BinaryString32 | None = None
    packet: common.IlpPacket | None = None
    moment: common.DateTime | None = None
    day: common.Date | None = None
    name: common.Name | None = None
    fsp: common.FspId | None = None
    text: common.Text128 | None = None
    currency: common.Currency | None = None
    geo: common.GeoCode | None = None


def is_taken(field: str, value: object) -> bool:
    try:
        bodies.read(One, msgspec.json.encode({field: value}))
    except FspiopError as error:
        if error.code != "3100" or not error.description.startswith(f"Generic validation error - {field}"):
            raise
        return False
    return True


TAKEN = {
    "amount": ["0", "1", "0.0001", "999999999999999999.9999", "12.5"],
    "id": [ID, ULID],
    "condition": [CONDITION, "-" * 43, "_" * 43],
    "packet": ["A", "AYIB-_==", "A=", "A" * 32_768],
    "moment": ["2026-01-01T00:00:00.000Z", "2024-02-29T23:59:59.999-19:59"],
    "day": ["1971-12-25", "2024-02-29", "1000-01-01", "9999-12-31"],
    "name": [
        "Ó Néill",
        "မောင်အောင်",
        "प्रिया",
        "สมชาย",
        "دلارام",
        "José-María, Jr.",
        "x" * 128,
        "李",
        "5",
        "a_b",
        "نه‌تنها",
    ],
    "fsp": ["1", "x" * 32, "blue bank"],
    "text": ["x", "é" * 128, "😀" * 128, " ", "\n"],
    "currency": ["USD", "XXX", "XTS", "XDR"],
    "geo": [
        {"latitude": "+90.000000", "longitude": "-180"},
        {"latitude": "0", "longitude": "179.999999"},
        {"latitude": "-89.5", "longitude": "0.1"},
    ],
}
REFUSED = {
    "amount": [
        "1e3",
        "010",
        "1.10",
        "1.00001",
        "-1",
        "+1",
        "1.",
        ".1",
        "",
        " 1",
        "1\n",
        "1,5",
        "0x1",
        "1_0",
        "9" * 19,
        "١",
    ],
    "id": [ID.upper(), ID + "\n", ULID.lower(), "", "1", ID[:-1]],
    "condition": [CONDITION[:-1], CONDITION + "A", CONDITION + "\n", "+" * 43, "/" * 43, "", "é" * 43],
    "packet": ["", "=", "A===", "A B", "A+/", "A\n", "A" * 32_769, "é"],
    "moment": ["2026-01-01T00:00:00Z", "2026-02-29T00:00:00.000Z", "", "2026-01-01", "2026-01-01T00:00:00.000Z\n"],
    "day": ["1971-02-29", "2026-02-30", "1971-13-01", "71-12-25", "1971-12-25\n", "25.12.1971", "0999-01-01", ""],
    "name": ["", " ", "\t", "x" * 129, "a;b", "<b>", "a\nb", "a\n", "a@b", "😀", "a/b", "“a”", "a\u202eb", "$"],
    "fsp": ["", "x" * 33],
    "text": ["", "x" * 129],
    "currency": ["", "usd", "ZZZ", "US", "USDX", "USD\n", "A#"],
    "geo": [
        {"latitude": "91", "longitude": "0"},
        {"latitude": "90.000001", "longitude": "0"},
        {"latitude": "0", "longitude": "180.1"},
        {"latitude": "0", "longitude": "٣"},
        {"latitude": "0.1234567", "longitude": "0"},
        {"latitude": "", "longitude": "0"},
    ],
}


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in TAKEN.items() for v in values])
def test_an_element_is_taken_in_the_api_s_form(field, value):
    assert is_taken(field, value)


@pytest.mark.parametrize(("field", "value"), [(f, v) for f, values in REFUSED.items() for v in values])
def test_an_element_in_another_form_is_a_bad_value(field, value):
    assert not is_taken(field, value)


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30))
def test_a_moment_or_id_that_a_body_takes_can_be_read(text):
    if is_taken("moment", text):
        assert time.parse_datetime(text)
    if is_taken("id", text):
        assert correlation_ids.is_correlation_id(text)


@given(st.from_regex(time.DATE_TIME, fullmatch=True).filter(lambda text: text.isascii()))
def test_a_moment_in_the_api_s_form_is_never_an_exception_later(text):
    moment = time.parse_datetime(text)
    assert time.parse_datetime(time.format_datetime(moment)) == moment if moment.year > 999 else True


@given(st.from_regex(money.AMOUNT, fullmatch=True))
def test_an_amount_that_a_body_takes_is_read_or_does_not_fit(text):
    assert is_taken("amount", text)
    if len(text.partition(".")[0]) <= 14:
        assert money.format_amount(money.parse_amount(text)) == text


def test_every_currency_of_the_api_is_taken():
    assert set(get_args(common.Currency)) == set(money.CURRENCIES)


@pytest.mark.parametrize("party_id_type", get_args(common.PartyIdType))
def test_every_way_to_find_a_party_is_taken(party_id_type):
    raw = msgspec.json.encode({"partyIdType": party_id_type, "partyIdentifier": "1"})
    assert bodies.read(common.PartyIdInfo, raw).party_id_type == party_id_type


@pytest.mark.parametrize(
    ("scenario", "is_known"), [("TRANSFER", True), ("REFUND", True), ("transfer", False), ("LOAN", False), ("", False)]
)
def test_a_scenario_is_one_of_the_list(scenario, is_known):
    raw = msgspec.json.encode({"scenario": scenario, "initiator": "PAYER", "initiatorType": "AGENT"})
    if is_known:
        assert bodies.read(common.TransactionType, raw).scenario == scenario
        return
    with pytest.raises(FspiopError) as found:
        bodies.read(common.TransactionType, raw)
    assert found.value.description == f"Generic validation error - scenario: invalid enum value '{scenario}'"


def test_a_quote_of_version_1_needs_nothing_that_version_2_brought():
    party = {"partyIdInfo": {"partyIdType": "MSISDN", "partyIdentifier": "123"}}
    raw = msgspec.json.encode(
        {
            "quoteId": ID,
            "transactionId": ID,
            "payee": party,
            "payer": party,
            "amountType": "RECEIVE",
            "amount": {"currency": "USD", "amount": "1"},
            "transactionType": {"scenario": "TRANSFER", "initiator": "PAYER", "initiatorType": "CONSUMER"},
        }
    )
    quote = bodies.read(QuotePost, raw)
    assert (quote.converter, quote.currency_conversion, quote.payee.supported_currencies) == (None, None, None)


def test_what_is_made_here_is_written_without_what_it_has_not():
    assert bodies.write(ParticipantPost(fsp_id="blue")) == b'{"fspId":"blue"}'
    assert bodies.write(common.Money("USD", "1")) == b'{"amount":"1","currency":"USD"}'
    assert bodies.write(common.PartyComplexName(first_name="Zoë")) == '{"firstName":"Zoë"}'.encode()


class Limited(msgspec.Struct):
    percentage: Annotated[int, msgspec.Meta(ge=0, le=100)]


@pytest.mark.parametrize(("value", "bound"), [(101, "<= 100"), (-1, ">= 0")])
def test_a_number_beyond_its_bounds_is_a_bad_value(value, bound):
    with pytest.raises(FspiopError) as found:
        bodies.read(Limited, msgspec.json.encode({"percentage": value}))
    assert found.value.description == f"Generic validation error - percentage: must be {bound}"
