"""What the instrument signs, the hub's own check takes."""

from pathlib import Path

from bench import messages
from bench.http import Reader, header
from bench.signing import Signer, make_key
from fspiop import jws

ID = "b51ec534-ee48-4575-b6a9-ead2955b8069"


def fulfil() -> bytes:
    clock = messages.Clock()
    clock.tick()
    packet = messages.pool("green", "blue")[0]
    return messages.fulfil(b"hub:80", b"blue", b"green", packet.fulfilment, ID.encode(), clock)


def test_a_signed_request_verifies_against_the_key_that_was_registered(tmp_path: Path) -> None:
    public = jws.load_public_key(make_key(tmp_path / "blue").encode())
    (request,) = Reader().feed(Signer(str(tmp_path), ["blue"])(fulfil()))
    names = ("fspiop-source", "fspiop-destination", "date", "fspiop-uri", "fspiop-http-method", "content-type")
    headers = {name: (header(request.head, name.encode()) or b"").decode() for name in names}
    signature = (header(request.head, b"fspiop-signature") or b"").decode()
    jws.verify(signature, request.body, keys=[public], method="PUT", uri=f"/transfers/{ID}", headers=headers)


def test_without_keys_nothing_is_signed() -> None:
    assert Signer("", ["blue"])(fulfil()) == fulfil()
