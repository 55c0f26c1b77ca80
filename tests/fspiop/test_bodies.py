"""Each kind of body: what it needs, what it refuses, and that it comes back as it went."""

import json
import re
from typing import Any

import msgspec
import pytest

from fspiop import bodies, strictjson
from fspiop.bodies.bulk_transfers import BulkTransferPost
from fspiop.bodies.errors import ErrorPut
from fspiop.bodies.participants import ParticipantPut
from fspiop.bodies.transfers import TransferPost, TransferPut
from fspiop.errors import FspiopError
from tests.cases import of_each
from tests.fspiop.messages import CONDITION, ERROR, EXTENSIONS, OPTIONAL, PARTY_ID, REQUIRED, REQUIRED_IN_PARTS, WHOLE

KINDS = list(WHOLE)


def steps(path: str) -> list[str | int]:
    return [int(step) if step.isdecimal() else step for step in re.findall(r"[^.\[\]]+", path)]


def changed(kind: type[Any], path: str, *value: object) -> dict[str, Any]:
    """The whole message with another value at this place, or without any."""
    message: dict[str, Any] = json.loads(json.dumps(WHOLE[kind]))  # a deep copy would keep payer and payee one object
    *way, last = steps(path)
    at: Any = message
    for step in way:
        at = at[step]
    if value:
        at[last] = value[0]
    else:
        del at[last]
    return message


def refusal(kind: type[Any], message: object) -> tuple[str, str]:
    with pytest.raises(FspiopError) as found:
        bodies.read(kind, json.dumps(message).encode())
    assert found.value.http_status == 400
    assert len(found.value.description) <= 128
    return found.value.code, found.value.description


def every_place(value: object, path: str = "") -> list[str]:
    if isinstance(value, dict):
        return [p for key, inner in value.items() for p in [f"{path}.{key}", *every_place(inner, f"{path}.{key}")]]
    if isinstance(value, list):
        return [p for i, inner in enumerate(value) for p in every_place(inner, f"{path}[{i}]")]
    return []


PLACES = [(kind, place.removeprefix(".")) for kind in KINDS for place in every_place(WHOLE[kind])]
NEEDED = [(kind, path) for kind, paths in REQUIRED.items() for path in paths]


@of_each(KINDS)
def test_a_whole_message_comes_back_as_it_went(kind):
    raw = strictjson.canonical(WHOLE[kind])
    message = bodies.read(kind, raw)
    assert bodies.write(message) == raw
    assert bodies.read(kind, bodies.write(message)) == message


@of_each(KINDS)
def test_a_field_that_nobody_knows_is_passed_over(kind):
    message = {"new": {"amount": 1.5, "list": [None]}, "Zürich": "ü", **WHOLE[kind]}
    assert bodies.read(kind, json.dumps(message).encode()) == bodies.read(kind, json.dumps(WHOLE[kind]).encode())


@of_each(NEEDED)
def test_a_mandatory_field_that_is_missing_is_named(kind, path):
    assert refusal(kind, changed(kind, path)) == ("3102", f"Missing mandatory element - {path} is required")


@of_each(PLACES)
def test_a_field_is_mandatory_where_the_api_says_so_and_nowhere_else(kind, path):
    message = changed(kind, path)
    plain, *needed = (re.sub(r"\[\d+\]", "", p) for p in [path, *REQUIRED[kind]])
    part, _, field = plain.rpartition(".")
    if plain in needed or (part and field in REQUIRED_IN_PARTS and plain not in OPTIONAL):
        assert refusal(kind, message)[0] == "3102"
    else:
        written = bodies.write(bodies.read(kind, json.dumps(message).encode()))
        assert json.loads(written) == message


@of_each(PLACES, [True, 1.5])
def test_a_value_of_another_type_is_malformed_and_named(kind, path, value):
    code, description = refusal(kind, changed(kind, path, value))
    assert code == "3101"
    assert description.startswith(f"Malformed syntax - {path}: must be "[:128])


@of_each(PLACES)
def test_no_field_takes_a_text_of_anything(kind, path):
    code, description = refusal(kind, changed(kind, path, "\u2028" * 3000))
    assert code in ("3100", "3101")
    assert path in description


@of_each(PLACES)
def test_null_is_as_if_the_field_were_not_there_or_refused(kind, path):
    raw = json.dumps(changed(kind, path, None)).encode()
    try:
        message = bodies.read(kind, raw)
    except FspiopError as error:
        code = error.code
        with pytest.raises(FspiopError) as found:
            bodies.read(kind, json.dumps(changed(kind, path)).encode())
        assert (code, found.value.code) == ("3101", "3102")
    else:
        assert json.loads(bodies.write(message)) == changed(kind, path)


@of_each(KINDS, [[], "text", 1, None, True])
def test_a_body_is_an_object(kind, message):
    code, description = refusal(kind, message)
    assert code == "3101"
    assert description.startswith("Malformed syntax - the body: must be object, not")


@of_each(KINDS, [b"", b"{", b'{"a":1,"a":2}', b"\xff", b'{"a":NaN}', b"[" * 100_000, b'{"a":"\\u0000"}'])
def test_a_body_that_is_not_strict_json_is_malformed(kind, raw):
    with pytest.raises(FspiopError) as found:
        bodies.read(kind, raw)
    assert found.value.code == "3101"


@of_each(KINDS)
def test_a_body_has_a_schema(kind):
    _, definitions = msgspec.json.schema_components([kind])
    assert definitions[kind.__name__]["type"] == "object"
    assert set(definitions[kind.__name__]["properties"]) == set(WHOLE[kind])


@pytest.mark.parametrize("code", [5100, "5100"])
def test_an_error_code_may_come_as_a_number_and_is_text(code):
    message = bodies.read(ErrorPut, json.dumps({"errorInformation": ERROR | {"errorCode": code}}).encode())
    assert message.error_information.error_code == "5100"
    assert b'"errorCode":"5100"' in bodies.write(message)


@pytest.mark.parametrize(
    ("code", "refused_with"),
    [
        *((code, "3100") for code in (0, 999, 10_000, -5100, "0100", "510", "51000", "5100\n", "٥100", "")),
        (5100.5, "3101"),
    ],
)
def test_another_error_code_is_refused(code, refused_with):
    found, description = refusal(ErrorPut, {"errorInformation": ERROR | {"errorCode": code}})
    assert found == refused_with
    assert "errorInformation.errorCode" in description


def test_more_items_than_allowed_are_too_many():
    many = {"extension": EXTENSIONS["extension"] * 17}
    assert refusal(TransferPost, changed(TransferPost, "extensionList", many)) == (
        "3103",
        "Too many elements - extensionList.extension: has more than 16",
    )
    assert refusal(ParticipantPut, {"partyList": [PARTY_ID] * 10_001}) == (
        "3103",
        "Too many elements - partyList: has more than 10000",
    )


def test_a_bulk_has_at_least_one_transfer_and_at_most_a_thousand():
    assert refusal(BulkTransferPost, changed(BulkTransferPost, "individualTransfers", []))[0] == "3100"
    many = WHOLE[BulkTransferPost]["individualTransfers"] * 1001
    assert refusal(BulkTransferPost, changed(BulkTransferPost, "individualTransfers", many)) == (
        "3103",
        "Too many elements - individualTransfers: has more than 1000",
    )


def test_the_reference_hub_s_own_answer_to_a_registration_is_read():
    found = bodies.read(ParticipantPut, json.dumps({"partyList": [PARTY_ID], "currency": "XXX"}).encode())
    assert found.fsp_id is None
    assert found.party_list is not None
    assert found.party_list[0].fsp_id == "blue"


def test_a_put_says_no_more_than_its_state():
    assert bodies.write(bodies.read(TransferPut, b'{"transferState":"RESERVED"}')) == b'{"transferState":"RESERVED"}'


@pytest.mark.parametrize("text", ["x` - at `$.condition", "Expected `str`, got `int`", "` of length <= 1"])
def test_what_a_sender_wrote_does_not_change_what_it_is_told(text):
    code, description = refusal(TransferPost, changed(TransferPost, "amount.currency", text))
    assert code == "3100"
    assert description.startswith("Generic validation error - amount.currency: ")
    assert refusal(TransferPost, changed(TransferPost, "condition", text + CONDITION))[1] == (
        "Generic validation error - condition: does not have the format that the API requires"
    )
