"""The bodies of requests and responses in the hub's own API for DFSPs."""

from typing import Annotated, Any, Literal

import msgspec

from fspiop.bodies.common import DateTime

Pem = Annotated[str, msgspec.Meta(min_length=1, max_length=16_384)]
Reason = Annotated[str, msgspec.Meta(max_length=256)]
State = Literal["PENDING", "APPROVED", "REFUSED", "EXPIRED"]


class _Request(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """A request to the hub's own API for DFSPs. The hub refuses unknown fields, so that it never silently ignores a
    misspelt field."""


class _Response(msgspec.Struct, rename="camel", omit_defaults=True):
    """A response of the hub's own API for DFSPs. Fields without a value are absent."""


class NewSigningRequest(_Request):
    """`csr` is a certificate signing request (PKCS #10, in PEM) whose common name is the participant's name."""

    csr: Pem
    reason: Reason = ""


class NewSigningKey(_Request):
    """`key` is a public RSA key: PEM, an X.509 certificate in PEM, or a JWK. The DFSP's earlier keys stay valid."""

    key: Pem | dict[str, Any]
    valid_from: DateTime | None = None
    reason: Reason = ""


class NewCallbackCheck(_Request):
    """A callback check has no parameters: the hub calls the registered endpoint."""


class KeysWanted(_Request):
    participant: Annotated[str, msgspec.Meta(max_length=32)] | None = None


class Clock(_Response, kw_only=True):
    time: DateTime


class Certificate(_Response, kw_only=True):
    id: int
    subject: str
    sha256: str
    valid_from: DateTime
    valid_until: DateTime
    revoked_at: DateTime | None = None
    pem: Pem


class Certificates(_Response, kw_only=True):
    """`authority` is the certificate of the hub's own authority, if the hub has one."""

    certificates: list[Certificate]
    authority: Pem | None = None


class SigningKey(_Response, kw_only=True):
    """`keyId` is the SHA-256 of the key's SubjectPublicKeyInfo. For the hub's own key, `validUntil` is absent."""

    participant: str
    key_id: str
    key: Pem
    valid_from: DateTime | None = None
    valid_until: DateTime | None = None


class SigningKeys(_Response, kw_only=True):
    keys: list[SigningKey]


class Submission(_Response, kw_only=True):
    """A submitted certificate request or signing key. Two people must approve the submission. `approvals` is the number
    of people who have already approved it."""

    id: int
    change: Literal["signCertificate", "addSigningKey"]
    state: State
    approvals: int
    submitted_date: DateTime
    expiration_date: DateTime
    key_id: str
    decision: str | None = None
    certificate: Certificate | None = None


class Submissions(_Response, kw_only=True):
    submissions: list[Submission]


class CredentialSummary(_Response, kw_only=True):
    id: int
    kind: str
    label: str
    sha256: str | None = None
    valid_from: DateTime
    valid_until: DateTime


class OwnParticipant(_Response, kw_only=True):
    """The hub's data about the caller, including the caller's credentials. Expired and revoked credentials are
    absent."""

    name: str
    is_active: bool
    may_send: bool
    may_receive: bool
    is_leaving: bool
    signatures: str
    endpoints: dict[str, str]
    credentials: list[CredentialSummary]


class CallbackCheck(_Response, kw_only=True):
    """The result of one test message to the DFSP's endpoint. If there was no response, `status` is absent, and `error`
    contains the reason. `isReachable` is true after any HTTP response. `isTaken` is true only if the response's status
    is 2xx.
    """

    url: str | None = None
    method: str
    path: str
    is_reachable: bool
    is_taken: bool
    status: int | None = None
    error: str | None = None
    error_code: str | None = None
    milliseconds: int | None = None
