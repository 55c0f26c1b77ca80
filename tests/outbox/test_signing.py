"""The hub signs its own messages, and does not change messages of DFSPs."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.test import override_settings

from fspiop import jws
from fspiop.errors import FspiopError
from hub.outbox.claims import Claimed
from hub.outbox.client import HubKey

HEADERS = {
    "content-type": "application/vnd.interoperability.transfers+json;version=1.1",
    "date": "Tue, 24 Nov 2026 08:00:00 GMT",
    "fspiop-source": "Hub",
    "fspiop-destination": "green",
}
BODY = b'{"transferState":"COMMITTED"}'


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture
def hub_key(key: rsa.RSAPrivateKey, tmp_path: Path) -> HubKey:
    file = tmp_path / "hub.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    with override_settings(HUB_SIGNING_KEY_FILE=str(file)):
        return HubKey()


def message(*, signed_by_hub: bool) -> Claimed:
    now = datetime.now(UTC)
    return Claimed(
        1, 2, "PATCH", "/transfers/T", dict(HEADERS), BODY, "T", "state", signed_by_hub, None, None, 1, 0.0, now
    )


def test_what_the_hub_says_verifies_against_the_real_request(hub_key: HubKey, key: rsa.RSAPrivateKey) -> None:
    headers = hub_key.headers_for(message(signed_by_hub=True))
    keys = [key.public_key()]
    jws.verify(headers["fspiop-signature"], BODY, keys=keys, method="PATCH", uri="/transfers/T", headers=headers)
    for method, uri, body in (
        ("PUT", "/transfers/T", BODY),
        ("PATCH", "/transfers/U", BODY),
        ("PATCH", "/transfers/T", BODY + b" "),
    ):
        with pytest.raises(FspiopError):
            jws.verify(headers["fspiop-signature"], body, keys=keys, method=method, uri=uri, headers=headers)


def test_what_a_dfsp_said_keeps_its_headers(hub_key: HubKey) -> None:
    assert hub_key.headers_for(message(signed_by_hub=False)) == HEADERS
