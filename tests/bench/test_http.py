"""The instrument's HTTP: messages are whole, in order, and the same however the octets are cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.http_parser import Message, Reader, header

POST = b"POST /transfers HTTP/1.1\r\nHost: hub\r\nContent-Length: 4\r\n\r\n{..}"
EMPTY = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nserver: granian\r\n\r\n"
BARE = b"GET /seen HTTP/1.1\r\nHost: sink\r\n\r\n"
CHUNKED = b"HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n"
ALL = POST + EMPTY + BARE + CHUNKED + POST


def test_a_request_and_a_response_are_read() -> None:
    assert Reader().feed(POST) == [Message(b"POST /transfers HTTP/1.1", b"Host: hub\r\nContent-Length: 4", b"{..}")]
    (answer,) = Reader().feed(EMPTY)
    assert (answer.status, answer.body) == (202, b"")


def test_a_chunked_body_is_joined() -> None:
    (answer,) = Reader().feed(CHUNKED)
    assert (answer.status, answer.body) == (400, b"abc0123456789")


@given(st.lists(st.integers(0, len(ALL)), max_size=8))
def test_messages_are_the_same_however_they_are_cut(cuts: list[int]) -> None:
    reader, found, last = Reader(), [], 0
    for cut in [*sorted(cuts), len(ALL)]:
        found += reader.feed(ALL[last:cut])
        last = cut
    assert [message.body for message in found] == [b"{..}", b"", b"", b"abc0123456789", b"{..}"]
    assert reader.feed(b"") == []


def test_nothing_is_given_before_it_is_whole() -> None:
    reader = Reader()
    for at in range(len(POST) - 1):
        assert reader.feed(POST[at : at + 1]) == []
    assert len(reader.feed(POST[-1:])) == 1


def test_a_length_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        Reader().feed(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n")


def test_a_header_is_found_by_its_whole_name() -> None:
    head = b"X-Content-Length: 9\r\nContent-Length:  4 \r\nFSPIOP-Source: Green"
    assert header(head, b"content-length") == b"4"
    assert header(head, b"fspiop-source") == b"Green"
    assert header(head, b"length") is None
    assert header(b"", b"host") is None
