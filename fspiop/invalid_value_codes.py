"""Errors about a value that a person or a program registers. An error has a code, parameters, and an English text.

The hub's APIs return the English text of an error. The portal uses the code to find the text in the visitor's language.
"""

from enum import Enum

_LONGEST_TEXT = 200  # a parameter can be the text of an error that a library raised


class Fault(Enum):
    """The codes of errors. The name of an error code never changes.

    The value of an error code is the English text, with placeholders for the parameters.
    """


class KeyFault(Fault):
    """The possible faults of a key, a certificate or a signing request."""

    PRIVATE_KEY = (
        "this is a private key; create a new key, keep its private part secret, and register only its public part"
    )
    TOO_LONG = "too long"
    NOT_RSA = "not an RSA key"
    NO_JWK = "not a JWK of an RSA key"
    UNUSABLE_PUBLIC_KEY = "not a usable public key in PEM, X.509 or JWK: %(error)s"
    UNREADABLE_PUBLIC_KEY = "not a readable public key: %(error)s"
    AUTHORITY_CERTIFICATE = "this is a certificate authority's certificate; register the client's own certificate"
    NOT_ONE_CERTIFICATE = "give one X.509 certificate in PEM, without its chain"
    UNREADABLE_CERTIFICATE = "the certificate cannot be read"
    UNREADABLE_REQUEST = "the signing request cannot be read: give it in PEM (BEGIN CERTIFICATE REQUEST)"
    REQUEST_OF_ANOTHER_KEY = "the signing request is not signed by its own key"
    WRONG_COMMON_NAME = "the subject must have the common name %(name)s and no other common name"
    UNSUPPORTED_ALGORITHM = "the key type or the signature algorithm is not supported"
    UNSUPPORTED_KEY_TYPE = "the certificate's key must be RSA, ECDSA or Ed25519"
    SHORT_CURVE = "an elliptic curve must have at least %(bits)s bits"
    WEAK_DIGEST = "the certificate is signed with %(name)s, which is not secure"
    RSA_LENGTH = "an RSA key must have %(fewest)s to %(most)s bits, not %(bits)s"
    RSA_EXPONENT = "the RSA key's public exponent must be odd, at least 3, and at most 64 bits long"


class EncodingFault(Fault):
    """The possible faults of base64url text."""

    NOT_BASE64URL = "not base64url"
    NOT_CANONICAL_BASE64URL = "not canonical base64url"


class InvalidValue(ValueError):
    """Raised for a value that the hub cannot register. One of the error's parameters can be another exception: the
    cause of the error."""

    def __init__(self, fault: Fault, **parameters: object) -> None:
        super().__init__((fault.value % parameters)[:_LONGEST_TEXT])
        self.fault = fault
        self.parameters = parameters
