"""What the instrument signs, the hub's own check takes."""

from pathlib import Path
from typing import Any

from bench import messages
from bench.http_parser import Reader, header
from bench.signing import Signer, make_key
from fspiop import jws

ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"


def fulfil() -> bytes:
    clock = messages.Clock()
    clock.tick()
    packet = messages.pool("green", "blue")[0]
    return messages.fulfil(b"hub:80", b"blue", b"green", packet.fulfilment, ID.encode(), clock)


def verify(request: bytes, public_key: Any, *, method: str, uri: str) -> bytes:
    """The body of a request that its signature covers; raises where it does not."""
    (message,) = Reader().feed(request)
    names = ("fspiop-source", "fspiop-destination", "date", "fspiop-uri", "fspiop-http-method", "content-type")
    headers = {name: (header(message.head, name.encode()) or b"").decode() for name in names}
    signature = (header(message.head, b"fspiop-signature") or b"").decode()
    jws.verify(signature, message.body, keys=[public_key], method=method, uri=uri, headers=headers)
    return message.body


def test_a_signed_request_verifies_against_the_key_that_was_registered(tmp_path: Path) -> None:
    public = jws.load_public_key(make_key(tmp_path / "blue").encode())
    verify(Signer(str(tmp_path), ["blue"])(fulfil()), public, method="PUT", uri=f"/transfers/{ID}")


def test_without_keys_nothing_is_signed() -> None:
    assert Signer("", ["blue"])(fulfil()) == fulfil()
