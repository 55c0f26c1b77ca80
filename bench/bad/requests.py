"""Messages that no well-behaved participant sends: very large, malformed or unrequested messages, or too many messages
at the same time."""

import json
import uuid
from collections.abc import Iterator
from itertools import cycle

from bench import messages
from bench.bad.scene_and_client import World

MOST = 5_242_880  # the largest number of bytes that the API allows in a body (FSPIOP API v1.1, table 1)
ALIASES_IN_A_BATCH = 10_000
TRANSFERS_IN_A_BULK = 1_000

_ALIAS = "MSISDN/{alias}"
# Method and path of every request with a body.
_WITH_BODIES = (
    ("POST", "transfers"),
    ("PUT", "transfers/{id}"),
    ("POST", "quotes"),
    ("PUT", "quotes/{id}"),
    ("PUT", f"parties/{_ALIAS}"),
    ("POST", "participants"),
    ("POST", f"participants/{_ALIAS}"),
    ("POST", "transactionRequests"),
    ("PUT", "authorizations/{id}"),
    ("PUT", "transactions/{id}"),
    ("POST", "bulkQuotes"),
    ("POST", "bulkTransfers"),
    ("PUT", "bulkTransfers/{id}"),
    ("POST", "fxQuotes"),
    ("POST", "fxTransfers"),
)


def long_text(octets: int = MOST) -> bytes:
    """Returns a JSON object with one long text."""
    return b'{"a":"' + b"x" * (octets - 8) + b'"}'


def brackets(octets: int = MOST) -> bytes:
    """Returns a JSON object with very many empty lists. A parser creates an object for each list."""
    count = (octets - 8) // 3
    return b'{"a":[' + b",".join([b"[]"] * count) + b"]}"


def to_every_resource(world: World, body: bytes, *, is_chunked: bool = False) -> Iterator[bytes]:
    """Yields an endless series of requests with this body. The requests go to each resource in turn."""
    alias = world.scene.aliases[world.scene.good[0]][0]
    for method, pattern in cycle(_WITH_BODIES):
        path = "/" + pattern.format(id=uuid.uuid4(), alias=alias)
        made = whole(world, method, path, body, to=world.good[0], is_chunked=is_chunked)
        yield _in_version_2(made) if pattern.startswith("fx") else made


def _in_version_2(request: bytes) -> bytes:
    """Returns the request in API version 2.0, because version 1.1 has no conversions."""
    return request.replace(b"version=1.1\r", b"version=2.0\r", 1).replace(b"version=1\r", b"version=2\r", 1)


def whole(world: World, method: str, path: str, body: bytes, *, to: bytes, is_chunked: bool = False) -> bytes:
    """Returns the bytes of a complete request from the misbehaving participant."""
    resource = path.split("/")[1].encode()
    # The headers of a chunked body do not state the body's length (HTTP/1.1, section 7.1). A chunk of length 0 ends a
    # chunked body.
    sent = b"" if is_chunked else body
    made = messages.request(
        world.host,
        method.encode(),
        resource,
        path.encode("latin-1"),
        world.bad,
        to,
        world.clock,
        sent,
        accept=method != "PUT",
    )
    if not is_chunked:
        return made
    head = made.removesuffix(b"\r\n\r\n") + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = 65_536
    parts = [b"%x\r\n%b\r\n" % (len(part), part) for at in range(0, len(body), size) if (part := body[at : at + size])]
    return head + b"".join(parts) + b"0\r\n\r\n"


def batch(world: World, number: int) -> bytes:
    """Returns a request that registers thousands of aliases.

    Requests with different numbers register different aliases.
    """
    first = f"9{number:03}"
    parties = [
        {"partyIdType": "MSISDN", "partyIdentifier": f"{first}{n:08}", "fspId": world.scene.bad}
        for n in range(ALIASES_IN_A_BATCH)
    ]
    body = json.dumps({"requestId": str(uuid.uuid4()), "partyList": parties}, separators=(",", ":")).encode()
    return whole(world, "POST", "/participants", body, to=b"")


class Bulks:
    """Bulk transfers to the second misbehaving participant, each with a thousand new transfers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._packets = cycle(messages.pool(world.scene.bad, world.scene.mate))

    def __call__(self) -> bytes:
        clock, item = self._world.clock, b'{"condition":"%b","ilpPacket":"%b","transferAmount":%b,"transferId":"%b"}'
        amount = b'{"amount":"1","currency":"%b"}' % messages.CURRENCY.encode()
        items = [
            item % (packet.condition, packet.ilp_packet, amount, str(uuid.uuid4()).encode())
            for packet, _ in zip(self._packets, range(TRANSFERS_IN_A_BULK), strict=False)
        ]
        body = (
            b'{"bulkQuoteId":"%b","bulkTransferId":"%b","expiration":"%b","individualTransfers":[%b],'
            b'"payeeFsp":"%b","payerFsp":"%b"}'
        ) % (
            str(uuid.uuid4()).encode(),
            str(uuid.uuid4()).encode(),
            clock.expiration,
            b",".join(items),
            self._world.mate,
            self._world.bad,
        )
        return whole(self._world, "POST", "/bulkTransfers", body, to=self._world.mate)


def poll(world: World, source: bytes) -> bytes:
    """Returns GET /transfers/{ID} with an id that does not exist."""
    return messages.ask_transfer(world.host, source, b"", str(uuid.uuid4()), world.clock)


def unasked(world: World) -> Iterator[bytes]:
    """Yields unrequested answers to all other participants.

    The answers name customers of these participants, or ids that no request has used.
    """
    error = b'{"errorInformation":{"errorCode":"3204","errorDescription":"no"}}'
    refusal, rejection = b'{"responseType":"REJECTED"}', b'{"transactionState":"REJECTED"}'
    first, second = world.good[0].decode(), world.good[1].decode()
    pairs = [(first, alias) for alias in world.scene.aliases[second]]
    pairs += [(second, alias) for alias in world.scene.aliases[first]]
    for victim, alias in cycle(pairs):
        to, some_id = victim.encode(), uuid.uuid4()
        party = messages.party(b"", world.bad, alias.encode())
        yield whole(world, "PUT", f"/parties/MSISDN/{alias}", party, to=to)
        yield whole(world, "PUT", f"/parties/MSISDN/{alias}/error", error, to=to)
        yield whole(world, "PUT", f"/authorizations/{some_id}", refusal, to=to)
        yield whole(world, "PUT", f"/authorizations/{some_id}/error", error, to=to)
        yield whole(world, "PUT", f"/transactions/{some_id}", rejection, to=to)
        yield whole(world, "PUT", f"/transactions/{some_id}/error", error, to=to)


def odd(world: World) -> Iterator[bytes]:
    """Yields requests to the other participants.

    The path, query or header of each request has bytes above 127. The hub must not forward bytes above 127. The bytes
    are valid UTF-8, because the web server refuses all other bytes.
    """
    question = "authenticationType=OTP&retriesLeft=2&amount=1&currency=USD"
    for to in cycle(world.good):
        made = whole(world, "GET", f"/authorizations/{uuid.uuid4()}?{question}", b"", to=to)
        alias = world.scene.aliases[to.decode()][0]
        lookup = whole(world, "GET", f"/parties/MSISDN/{alias}?currency=USD", b"", to=b"")
        yield made.replace(b"currency=USD", b"currency=USD&\xc3\xa9=1")
        yield made.replace(b"amount=1", b"amount=1&\xe2\x82\xac")
        yield made.replace(b"\r\nAccept: ", b"\r\ntracestate: a=\xc3\xa9\r\nAccept: ")
        yield lookup.replace(b"currency=USD", b"currency=USD&\xc3\xa9=1")
        yield lookup.replace(b"/MSISDN/", b"/MSISDN/\xc3\xa9")
