"""Writes the files of a new connector: a commented configuration, keys, a certificate signing request and secrets.

The module never changes an existing file, because nobody can restore an overwritten key.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

_BITS = 3072  # in bits; the signature of a longer key would not fit into the API's header


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of the person who sets up the connector."""

    dfsp: str
    hub_url: str
    backend_url: str
    inbound_host: str = "127.0.0.1"
    inbound_port: int = 4000
    outbound_port: int = 4001
    signs: bool = True
    uses_certificate: bool = True
    uses_token: bool = True
    inbound_is_private: bool = False


class FileExists(Exception):
    """The error for a file that exists already. Nothing was written."""


def write(folder: Path, answers: Answers) -> list[Path]:
    """Writes all files for these answers, and returns their paths.

    If one of the files exists, writes nothing and raises FileExists.
    """
    texts = dict(_texts(answers))
    there = [folder / name for name in texts if (folder / name).exists()]
    if there:
        raise FileExists(", ".join(str(path) for path in there))
    folder.mkdir(parents=True, exist_ok=True)
    for name, (text, mode) in texts.items():
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
    return [folder / name for name in texts]


def new_tls_key() -> ec.EllipticCurvePrivateKey:
    """Returns a key for a client certificate."""
    return ec.generate_private_key(ec.SECP256R1())


def signing_request(name: str, key: ec.EllipticCurvePrivateKey) -> str:
    """Returns a certificate signing request for this participant, in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(Encoding.PEM).decode()


def key_id_of_request(text: str) -> str:
    """Returns the SHA-256 of the key in a certificate signing request. The hub identifies the request by this SHA-256.

    Raises ValueError if the text is not a certificate signing request.
    """
    key = x509.load_pem_x509_csr(text.encode()).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def new_signing_key() -> rsa.RSAPrivateKey:
    """Returns a key for signatures."""
    return rsa.generate_private_key(65537, _BITS)


def private_pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: rsa.RSAPublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _texts(answers: Answers) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yields each file's name, content and permissions."""
    yield "connector.toml", (configuration(answers), 0o600)
    if answers.signs:
        key = new_signing_key()
        yield "jws.key", (private_pem(key), 0o600)
        yield "jws.pub", (public_pem(key.public_key()), 0o644)
    if answers.uses_certificate:
        tls = new_tls_key()
        yield "tls.key", (private_pem(tls), 0o600)
        yield "tls.csr", (signing_request(answers.dfsp, tls), 0o644)


_COMMENTS: Mapping[str, str] = {
    "dfsp": "Your participant name, exactly as the operator has registered it.",
    "hub_url": "The base URL of the hub's API for DFSPs.",
    "backend_url": "The base URL of your core. The connector requests customers and terms from your core.",
    "state": "The folder of this one connector's durable state. Back it up. For several: postgresql://user@host/name",
    "ilp_secret": "The secret key of all fulfilments. Never change it while any terms of your DFSP are valid.",
    "inbound_host": 'The address for the hub\'s requests: "127.0.0.1" means only this machine, "0.0.0.0" all networks.',
    "inbound_port": "The operator registers https://your.host:port as your FSPIOP_CALLBACK_URL.",
    "outbound_port": "Your core calls the connector on 127.0.0.1 at this port. Keep this port off the network.",
    "signing_key": "Signs every message. Give the operator jws.pub, or submit it: kitovu-connector signing-key submit",
    "client_cert": "Your client certificate, once the hub has signed tls.csr: kitovu-connector certificate fetch",
    "client_key": "",
    "token_url": "The URL for access tokens. The operator gives you a token client and its secret.",
    "token_client": "",
    "token_secret_file": "A file that contains only the secret of the token client.",
    "inbound_is_private": "true only if nobody but the hub can reach inbound_port: callers then need no proof.",
}
_LATER = """
# --- later ------------------------------------------------------------------------------------------------------------

# Messages are proven by signatures, whose keys come from the hub (over https only):
# verify_jws = true
# fetch_keys = true

# Or by the hub's client certificate, on a port with TLS:
# inbound_cert = "server.pem"
# inbound_key = "server.key"
# inbound_client_ca = "scheme-ca.pem"
# inbound_client_name = "hub.example"       # a name in the hub's certificate

# Your core is told each end of a payment, transfer, request, bulk or conversion:
# webhook_url = "http://127.0.0.1:8080/events"
# webhook_secret_file = "webhook.secret"    # echo "whsec_$(openssl rand -base64 32)" > webhook.secret

# Your core must prove itself, by one of the tokens in a file (Authorization: Bearer ...):
# outbound_token_file = "core.token"        # openssl rand -hex 32 > core.token

# TLS for your core's calls, and a client certificate by which your core proves itself:
# outbound_cert = "core-server.pem"
# outbound_key = "core-server.key"
# outbound_client_ca = "bank-ca.pem"
# outbound_client_name = "core.internal"    # a name in the core's certificate
# command_cert = "command.pem"              # the certificate of the command line itself
# command_key = "command.key"

# Only for tests: the test API of Mojaloop's SDK, which shows the hub's messages with the data of customers:
# test_api = true
# test_port = 4003

# If the scheme has agreed on ISO 20022 messages:
# message_form = "iso20022"

# hub_ca = "scheme-ca.pem"                  # the authority of the hub's server certificate, if it is not a public one
"""


def configuration(answers: Answers) -> str:
    """Returns the text of connector.toml. A comment explains each active setting. The text also contains inactive
    settings, each in a comment.
    """
    values: dict[str, object] = {
        field.name: getattr(answers, field.name)
        for field in fields(Answers)
        if field.name not in ("signs", "uses_certificate", "uses_token", "inbound_is_private")
    }
    values |= {"state": "state", "ilp_secret": secrets.token_urlsafe(32)}
    if answers.signs:
        values |= {"signing_key": "jws.key"}
    if answers.inbound_is_private:
        values |= {"inbound_is_private": True}
    if answers.uses_token:
        values |= {"token_url": answers.hub_url.rstrip("/") + "/token"}
    lines = ["# The settings of the connector. Every setting: docs/connect/ and `kitovu-connector serve --help`.", ""]
    for name, value in values.items():
        if _COMMENTS[name]:
            lines.append(f"# {_COMMENTS[name]}")
        lines += [f"{name} = {json.dumps(value)}", ""]
        if name == "token_url":
            lines[-1:] = ['token_client = ""          # from the operator', 'token_secret_file = "token.secret"', ""]
    if answers.uses_certificate:
        lines += [f"# {_COMMENTS['client_cert']}", '# client_cert = "tls.pem"', '# client_key = "tls.key"', ""]
    return "\n".join(lines).rstrip("\n") + "\n" + _LATER
