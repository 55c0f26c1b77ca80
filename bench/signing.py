"""Makes a signing key for each DFSP of a run, and adds signature headers to finished requests."""

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bench.http_parser import header
from fspiop import jws


class Signer:
    """The DFSPs' private keys in a folder. Without a folder, the bench signs no messages."""

    def __init__(self, folder: str, names: list[str]) -> None:
        self._keys = {
            name.encode(): jws.load_private_key((Path(folder) / name).read_bytes()) for name in names if folder
        }

    def __call__(self, request: bytes) -> bytes:
        """Returns the request, signed by the DFSP in FSPIOP-Source (API Signature v1.1, section 3)."""
        method, uri, _ = request.split(b" ", 2)
        if not self._keys or method == b"GET":
            return request
        head, _, body = request.partition(b"\r\n\r\n")
        source, destination, date = (header(head, name) for name in (b"fspiop-source", b"fspiop-destination", b"date"))
        assert source is not None
        signature = jws.sign(
            body,
            key=self._keys[source],
            method=method.decode(),
            uri=uri.decode(),
            source=source.decode(),
            destination=destination.decode() if destination else None,
            date=date.decode() if date else None,
        )
        added = b"\r\nFSPIOP-URI: %b\r\nFSPIOP-HTTP-Method: %b\r\nFSPIOP-Signature: %b\r\n\r\n"
        return head + added % (uri, method, signature.encode()) + body


def make_key(path: Path) -> str:
    """Writes a new private key. Returns the matching public key. The bench registers the public key at the hub."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public.decode()
