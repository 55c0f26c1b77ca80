"""What the instrument signs, the hub's own check takes."""

import json
from pathlib import Path
from typing import Any

from bench import messages, presigned
from bench.http import Reader, header
from bench.signing import Signer, make_key
from fspiop import ilp, jws

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


def test_what_is_signed_before_the_load_is_whole_on_both_sides(tmp_path: Path) -> None:
    keys = {name: jws.load_public_key(make_key(tmp_path / name).encode()) for name in ("blue", "green")}
    parties = [("green", "blue")] * 30 + [("blue", "green")]
    presigned.write(tmp_path, "hub:80", parties)
    posts, fulfils = presigned.posts(str(tmp_path)), presigned.fulfils(str(tmp_path))
    assert len({transfer_id for transfer_id, _ in posts}) == len(posts) == len(fulfils) == 31
    for (payer, payee), (transfer_id, post) in zip(parties, posts, strict=True):
        told = json.loads(verify(post, keys[payer], method="POST", uri="/transfers"))
        put = verify(fulfils[transfer_id], keys[payee], method="PUT", uri=f"/transfers/{transfer_id}")
        assert (told["payerFsp"], told["payeeFsp"], told["transferId"]) == (payer, payee, transfer_id)
        assert ilp.condition_for(json.loads(put)["fulfilment"]) == told["condition"]


def test_without_keys_nothing_is_signed() -> None:
    assert Signer("", ["blue"])(fulfil()) == fulfil()
