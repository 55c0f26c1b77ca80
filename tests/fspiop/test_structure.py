"""What a body may cost to read is bounded by counts in its octets; what is below them is read as it always was."""

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fspiop import strictjson
from fspiop.errors import ErrorCode, FspiopError
from fspiop.strictjson import MAX_DEPTH, MOST_VALUES, OCTETS_OF_A_VALUE, Structure, check_structure, loads
from tests.examples import examples
from tests.fspiop.test_strictjson import values

FEW = 40
MESSAGE = 65_536
# What structure is made of, and what hides it; other octets between them change nothing.
PARTS = [
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b'\\"',
    b'""',
    b'"a":',
    b"[]",
    b"{}",
    b"1",
    b" ",
    b"a",
    b"\xff",
]
octets = st.lists(st.sampled_from(PARTS), max_size=300).map(b"".join) | st.binary(max_size=200)


def parts_of(value: object) -> int:
    """An independent count: a value, and all values in it."""
    if isinstance(value, dict):
        return 1 + sum(parts_of(part) for part in value.values())
    return 1 + sum(parts_of(part) for part in value) if isinstance(value, list) else 1


def depth_of(value: object) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(map(depth_of, inner), default=0) if isinstance(inner, list) else 0


def empties_of(value: object) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value
    return (sum(map(empties_of, inner)) if inner else 1) if isinstance(inner, list) else 0


def read_unbounded(raw: bytes) -> object:
    """What the reader made of a body when it counted nothing in the octets: everything but depth."""
    value: object = strictjson._DECODER.decode(raw.decode("utf-8"))
    strictjson._check_texts(value)
    return value


def outcome(read: Any, *arguments: Any, **options: Any) -> tuple[str, object]:
    try:
        return "read", read(*arguments, **options)
    except FspiopError as error:
        return error.code, error.description
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        return "3101", ""


@settings(max_examples=examples(150), deadline=None)
@given(values | st.lists(values, max_size=30))
def test_a_value_within_the_limits_is_read_and_one_beyond_them_is_not(value: Any) -> None:
    for raw in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode()):
        found = outcome(loads, raw, most_values=FEW)
        quotes = raw.count(b'"')
        if depth_of(value) > MAX_DEPTH:
            assert found[0] in ("3101", "3104")
        elif parts_of(value) + empties_of(value) <= FEW and quotes <= 4 * FEW:
            assert found == ("read", value)
        elif parts_of(value) > FEW:
            assert found[0] == "3104"


@settings(max_examples=examples(700), deadline=None)
@given(octets)
@example(b'"' * 300)
@example(b'["\\\\",[[],[],[]],"\\""]' * 10)
def test_whatever_the_octets_no_more_is_made_of_them_than_the_limit_says(raw: bytes) -> None:
    found, value = outcome(loads, raw, most_values=FEW)
    if found == "read":
        assert parts_of(value) <= FEW
        assert depth_of(value) <= MAX_DEPTH


@settings(max_examples=examples(700), deadline=None)
@given(octets)
def test_what_is_read_is_what_was_read_before_and_what_is_refused_is_beyond_a_limit_or_no_json(raw: bytes) -> None:
    before, now = outcome(read_unbounded, raw), outcome(loads, raw, most_values=FEW)
    if now[0] == "read" or before[0] != "read":
        assert now[0] in (before[0], "3104")
        assert now[0] != "read" or now == before
        return
    assert depth_of(before[1]) > MAX_DEPTH or (
        parts_of(before[1]) + empties_of(before[1]) > FEW or raw.count(b'"') > 4 * FEW
    )


def pieces_refused(pieces: list[bytes]) -> str:
    structure = Structure(most_values=FEW)
    try:
        for piece in pieces:
            structure.check(piece)
    except FspiopError as error:
        return error.code
    return ""


@settings(max_examples=examples(700), deadline=None)
@given(octets, st.lists(st.integers(1, 300), max_size=8))
@example(b'["\\\\",[],"\\""]' * 20, list(range(1, 300)))
def test_a_body_in_pieces_is_refused_as_the_whole_body(raw: bytes, cuts: list[int]) -> None:
    ends = sorted({*(cut for cut in cuts if cut < len(raw)), len(raw)} - {0})
    pieces = [raw[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    whole, in_pieces = pieces_refused([raw] if raw else []), pieces_refused(pieces)
    assert bool(whole) == bool(in_pieces)  # with two faults, the first piece that has one of them decides which
    if outcome(read_unbounded, raw)[0] == "read" and depth_of(json.loads(raw)) <= MAX_DEPTH:
        assert whole == in_pieces


def test_no_piece_of_a_body_keeps_other_threads_waiting() -> None:
    structure, longest = Structure(), 0.0
    item = b'{"a":"bcdefghijklmnopqrstuvwxyz0123456789"},'
    piece = item * (65_536 // len(item))
    for _ in range(50):
        began = time.thread_time()
        structure.check(piece)
        longest = max(longest, time.thread_time() - began)
    assert longest < 0.01, f"{longest * 1000:.0f} ms"


@pytest.mark.parametrize(("most", "is_read"), [(999, False), (1000, False), (1001, True)])
def test_a_thousand_numbers_in_an_array_are_a_thousand_and_one_values(most: int, is_read: bool) -> None:
    raw = json.dumps([0] * 1000).encode()
    assert (outcome(loads, raw, most_values=most)[0] == "read") is is_read


def test_marks_in_texts_are_not_counted() -> None:
    text = "[{,]}" * 1000
    assert loads(json.dumps({"a": text}).encode(), most_values=3) == {"a": text}


def refusal(raw: bytes, most_values: int) -> tuple[ErrorCode, str]:
    with pytest.raises(FspiopError) as found:
        check_structure(raw, most_values=most_values)
    return found.value.error, found.value.description


def test_who_sends_too_many_is_told_how_many_there_may_be() -> None:
    brackets = b'{"a":[' + b"[]," * 20_000 + b"[]]}"
    assert refusal(brackets, 2048) == (ErrorCode.TOO_LARGE_PAYLOAD, "Too large payload - at most 2048 values")
    quotes = b'["' + b'\\"' * 20_000 + b'"]'
    assert refusal(quotes, 2048) == (ErrorCode.TOO_LARGE_PAYLOAD, "Too large payload - at most 8192 quotation marks")


# Five megabytes, or as much of an ordinary message, of what costs a reader most.
WORST: dict[str, bytes] = {
    "arrays": b"[],",
    "objects": b"{},",
    "numbers": b"0,",
    "keys": b'"":0,',
    "nested": b"[",
    "closed": b"]",
    "commas": b",",
    "quotes": b'"',
    "escaped quotes": b'\\"',
    "texts that end in a backslash": b'"\\\\",',
    "texts": b'"a",',
    "backslashes": b"\\",
    "digits": b"9",
    "fractions": b"0.1,",
    "escapes": b'"\\u00e9",',
    "blanks": b" ",
    "letters": b"a",
}


@pytest.mark.parametrize("start", [b"", b"[", b'{"a":[', b'["'])
@pytest.mark.parametrize("name", WORST)
@pytest.mark.parametrize(("size", "most_s"), [(MESSAGE, 0.05), (5_242_880, 1.0)])
def test_no_body_of_a_permitted_size_costs_more_than_its_part_of_a_second(
    name: str, start: bytes, size: int, most_s: float
) -> None:
    part = WORST[name]
    raw = (start + part * (size // len(part) + 1))[:size]
    began = time.thread_time()
    outcome(loads, raw, most_values=size // OCTETS_OF_A_VALUE)
    took = time.thread_time() - began
    assert took < most_s, f"{took:.2f} s"


def test_the_largest_messages_that_the_api_describes_are_within_the_limits() -> None:
    """With every field and 16 extensions wherever there may be some, a bulk of each kind as long as it may be."""
    extensions = {"extension": [{"key": "k" * 32, "value": "v"}] * 16}
    item = {"transferId": "i" * 36, "transferAmount": {"currency": "TZS", "amount": "1"}, "ilpPacket": "p"}
    bulk = {"individualTransfers": [item | {"condition": "c", "extensionList": extensions}] * 1000}
    info = {"partyIdType": "MSISDN", "partyIdentifier": "1", "partySubIdOrType": "1", "fspId": "green"}
    party = {
        "partyIdInfo": info | {"extensionList": extensions},
        "personalInfo": {"complexName": {"firstName": "a", "middleName": "b", "lastName": "c"}, "dateOfBirth": "d"},
        "name": "n",
        "merchantClassificationCode": "1",
    }
    kind = {"scenario": "s", "subScenario": "s", "initiator": "i", "initiatorType": "t", "balanceOfPayments": "1"}
    quote = {
        "quoteId": "q" * 36,
        "transactionId": "t" * 36,
        "payee": party,
        "amountType": "SEND",
        "amount": {"currency": "TZS", "amount": "1"},
        "fees": {"currency": "TZS", "amount": "1"},
        "transactionType": kind | {"refundInfo": {"originalTransactionId": "o", "refundReason": "r"}},
        "note": "n",
        "extensionList": extensions,
    }
    for message in (bulk, {"individualQuotes": [quote] * 1000}, {"partyList": [info] * 10_000}):
        assert outcome(loads, json.dumps(message).encode())[0] == "read"
        assert MOST_VALUES == 163_840
    assert (
        outcome(loads, json.dumps(quote | {"payer": party}).encode(), most_values=MESSAGE // OCTETS_OF_A_VALUE)[0]
        == "read"
    )
