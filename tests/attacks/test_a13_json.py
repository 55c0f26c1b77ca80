"""A13: JSON that two readers understand in two ways, or that breaks a reader. Refused with 3101; nothing changes."""

import json
import time
import uuid
from typing import Any

import pytest

from hub.outbox.models import Message
from tests.api import messages
from tests.api.caller import admin, dfsp, error_of
from tests.world import World

GOOD = json.dumps(messages.transfer())
TRICKS: dict[str, bytes] = {
    "a key twice": GOOD[:-1].encode() + b',"payeeFsp":"red"}',
    "a key twice, once escaped": GOOD[:-1].encode() + b',"payeeFs\\u0070":"red"}',
    "a key twice, deep": b'{"amount":{"currency":"TZS","amount":"1","amount":"1000"}}',
    "NaN": b'{"amount":NaN}',
    "Infinity": b'{"amount":-Infinity}',
    "a number beyond all": b'{"amount":1e400}',
    "a number of 5,000 digits": b'{"amount":' + b"9" * 5000 + b"}",
    "a fraction of 5,000 digits": b'{"amount":0.' + b"9" * 5000 + b"}",
    "10,000 arrays in one another": b"[" * 10_000 + b"]" * 10_000,
    "4,000 objects in one another": b'{"a":' * 4_000 + b"1" + b"}" * 4_000,
    "40 arrays in a field": b'{"a":' + b"[" * 40 + b"]" * 40 + b"}",
    "NUL": GOOD.replace("blue", "bl\\u0000ue").encode(),
    "NUL in a key": b'{"a\\u0000b":1}',
    "half a surrogate pair": GOOD.replace("blue", "\\udc00").encode(),
    "a byte order mark": b"\xef\xbb\xbf" + GOOD.encode(),
    "UTF-16": GOOD.encode("utf-16"),
    "UTF-32": GOOD.encode("utf-32"),
    "octets that are no UTF-8": GOOD.encode().replace(b"blue", b"\xc0\xaf"),
    "a raw control character": GOOD.encode().replace(b"blue", b"bl\x01ue"),
    "something after the end": GOOD.encode() + b"{}",
    "a NUL after the end": GOOD.encode() + b"\0",
    "a comment": b"/* hello */" + GOOD.encode(),
    "a comma too many": GOOD[:-1].encode() + b",}",
    "single quotes": GOOD.replace('"', "'").encode(),
    "nothing": b"",
    "a text": b'"transfer"',
    "null": b"null",
}
ID = str(uuid.UUID(int=5, version=4))
PLACES = [
    ("POST", "/transfers"),
    ("PUT", f"/transfers/{ID}"),
    ("PUT", f"/transfers/{ID}/error"),
    ("POST", "/quotes"),
    ("PUT", f"/quotes/{ID}"),
    ("POST", "/bulkQuotes"),
    ("POST", "/bulkTransfers"),
    ("PUT", f"/bulkTransfers/{ID}"),
    ("POST", "/transactionRequests"),
    ("PUT", f"/transactionRequests/{ID}"),
    ("PUT", f"/authorizations/{ID}"),
    ("PUT", f"/transactions/{ID}"),
    ("POST", "/participants"),
    ("POST", "/participants/MSISDN/1"),
    ("PUT", "/parties/MSISDN/1"),
    ("PUT", "/parties/MSISDN/1/error"),
]
ADMINISTRATION = [
    ("POST", "/participants"),
    ("POST", "/participants/green/endpoints"),
    ("PUT", "/participants/green/limits"),
    ("POST", "/participants/green/accounts/1"),
    ("POST", "/settlementModels"),
]


MANY_KEYS = json.dumps({f"k{number}": 0 for number in range(200_000)}).encode()


def refused(call: Any, method: str, path: str, **more: Any) -> None:
    for name, raw in TRICKS.items():
        assert error_of(call(method, path, raw, **more)) == (400, "3101"), name


@pytest.mark.parametrize(("method", "path"), PLACES)
def test_a13_tricks_of_json_are_refused_by_every_resource(world: World, method: str, path: str) -> None:
    refused(dfsp, method, path, destination="blue")
    assert not Message.objects.exists()


@pytest.mark.parametrize(("method", "path"), ADMINISTRATION)
def test_a13_tricks_of_json_are_refused_by_the_administration(world: World, method: str, path: str) -> None:
    refused(admin, method, path)


def test_a13_a_body_of_many_keys_is_refused_before_it_is_read(world: World) -> None:
    for path, body in (
        ("/transfers", MANY_KEYS[:65_536]),
        ("/transfers", MANY_KEYS[:32_768] + b"}"),
        ("/bulkTransfers", MANY_KEYS),
        ("/participants", MANY_KEYS),
    ):
        began = time.thread_time()
        assert error_of(dfsp("POST", path, body, destination="blue")) == (400, "3104")
        assert time.thread_time() - began < 1
    # As many as there may be are read.
    few = json.dumps(dict.fromkeys(map(str, range(2_000)), 0)).encode()
    assert error_of(dfsp("POST", "/transfers", few, destination="blue")) == (400, "3102")
