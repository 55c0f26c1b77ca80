"""A16: requests whose head two readers understand in two ways, against the real web server."""

import json

from ledger.models import Transfer
from tests.api import messages
from tests.api.caller import dfsp, error_of
from tests.attacks.web import Answer, head, send
from tests.world import World


def code_of(answer: Answer) -> str:
    found: str = json.loads(answer.rest)["errorInformation"]["errorCode"]
    return found


def post(port: int, body: bytes, *more: str, source: str = "green") -> Answer:
    return send(port, head("POST", "/transfers", "FSPIOP-Destination: blue", *more, source=source) + b"\r\n\r\n" + body)


def chunked(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def test_a16_a_request_with_two_lengths_is_refused(port: int) -> None:
    body = json.dumps(messages.transfer()).encode()
    length = f"Content-Length: {len(body)}"
    for more in (
        [length, "Content-Length: 5"],
        [f"Content-Length: {len(body)}, {len(body)}"],
        [f"Content-Length: +{len(body)}"],
        ["Content-Length: -1"],
        ["Content-Length: 0x10"],
        ["Transfer-Encoding: xchunked"],
        ["Transfer-Encoding: chunked, identity", length],
    ):
        assert post(port, body, *more).status == 400, more
    assert not Transfer.objects.exists()
    # What is right passes, with its length or in chunks.
    accepted = post(port, body, f"Content-Length: {len(body)}")
    assert (accepted.status, accepted.reason, accepted.rest) == (202, "Accepted", b"")
    body = json.dumps(messages.transfer()).encode()
    assert post(port, chunked(body), "Transfer-Encoding: chunked").status == 202
    assert Transfer.objects.count() == 2


def test_a16_beside_chunks_a_length_says_nothing(port: int) -> None:
    """RFC 9112, section 6.3: there is one way to read it. A proxy before the hub should refuse it altogether."""
    body = json.dumps(messages.transfer()).encode()
    for length in (5, len(chunked(body)), 5_000_000):
        answer = post(port, chunked(body), f"Content-Length: {length}", "Transfer-Encoding: chunked")
        assert answer.status == 202
    assert Transfer.objects.count() == 1


def test_a16_headers_are_bounded(port: int) -> None:
    body = json.dumps(messages.transfer()).encode()
    length = f"Content-Length: {len(body)}"
    refused = post(port, body, length, "X-Much: " + "x" * 66_000)
    assert (refused.status, code_of(refused)) == (400, "3104")
    assert post(port, body, length, "X-Far-Too-Much: " + "x" * 1_000_000).status in (400, 431)
    assert post(port, body, length, *(f"X-{number}: y" for number in range(500))).status in (400, 431)
    assert not Transfer.objects.exists()


UNREADABLE_TYPES = [
    "application/vnd.interoperability.transfers+json;version=1.1;charset*=no-such'en'utf-8",
    "application/vnd.interoperability.transfers+json;version=1.1;a*=''x;a*=no-such''%20",
]


def test_a16_a_content_type_that_can_not_be_read_is_refused_as_any_other(port: int) -> None:
    body = json.dumps(messages.transfer()).encode()
    for content_type in UNREADABLE_TYPES:
        start = head("POST", "/transfers", "FSPIOP-Destination: blue", f"Content-Length: {len(body)}")
        lines = [line for line in start.split(b"\r\n") if not line.startswith(b"Content-Type")]
        request = b"\r\n".join([*lines, b"Content-Type: " + content_type.encode()]) + b"\r\n\r\n"
        refused = send(port, request + body)
        assert refused.status == 400, content_type
        assert code_of(refused) == "3101"
    for path in ("/health/live", "/portal/sign-in/", "/api/ledger/v1/participants", "/nothing", "/token"):
        for content_type in UNREADABLE_TYPES:
            request = f"POST {path} HTTP/1.1\r\nHost: hub.example\r\nContent-Type: {content_type}\r\n\r\n"
            assert 400 <= send(port, request.encode()).status < 500, path
    assert not Transfer.objects.exists()


NONSENSE = [
    "FSPIOP-Source: blue",
    "FSPIOP_Source: blue",
    "Date: yesterday",
    "X-Folded: a\r\n b",
    "X-Nul: a\0b",
    "FSPIOP-Destination: bl\xfce",
    "Content-Encoding: gzip",
]


def test_a16_a_head_that_says_two_things_or_nonsense_is_refused(port: int) -> None:
    body = json.dumps(messages.transfer()).encode()
    for line in NONSENSE:
        assert post(port, body, f"Content-Length: {len(body)}", line).status == 400, line
    assert not Transfer.objects.exists()


def test_a16_a_line_end_in_a_header_is_never_passed_on(world: World) -> None:
    for value in ("a\r\nFSPIOP-Source: red", "a\nb", "a\0b"):
        answer = dfsp("POST", "/transfers", messages.transfer(), destination=value)
        assert error_of(answer) == (400, "3100")
