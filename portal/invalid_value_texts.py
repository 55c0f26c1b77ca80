"""Texts about invalid keys, certificates, networks and addresses, in the visitor's language. The code of the error
selects the text."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from fspiop.invalid_value_codes import EncodingFault, Fault, InvalidValue, KeyFault
from hub.egress import AddressFault
from hub.participants.networks_and_contacts import NetworkFault

_LONGEST_TEXT = 200  # the maximum length of an error's text from a library

TEXTS: Mapping[Fault, Promise] = {
    KeyFault.PRIVATE_KEY: gettext_lazy(
        "this is a private key; create a new key, keep its private part secret, and register only its public part"
    ),
    KeyFault.TOO_LONG: gettext_lazy("too long"),
    KeyFault.NOT_RSA: gettext_lazy("not an RSA key"),
    KeyFault.NO_JWK: gettext_lazy("not a JWK of an RSA key"),
    KeyFault.UNUSABLE_PUBLIC_KEY: gettext_lazy("not a usable public key in PEM, X.509 or JWK: %(error)s"),
    KeyFault.UNREADABLE_PUBLIC_KEY: gettext_lazy("not a readable public key: %(error)s"),
    KeyFault.AUTHORITY_CERTIFICATE: gettext_lazy(
        "this is a certificate authority's certificate; register the client's own certificate"
    ),
    KeyFault.NOT_ONE_CERTIFICATE: gettext_lazy("give one X.509 certificate in PEM, without its chain"),
    KeyFault.UNREADABLE_CERTIFICATE: gettext_lazy("the certificate cannot be read"),
    KeyFault.UNREADABLE_REQUEST: gettext_lazy(
        "the signing request cannot be read: give it in PEM (BEGIN CERTIFICATE REQUEST)"
    ),
    KeyFault.REQUEST_OF_ANOTHER_KEY: gettext_lazy("the signing request is not signed by its own key"),
    KeyFault.WRONG_COMMON_NAME: gettext_lazy("the subject must have the common name %(name)s and no other common name"),
    KeyFault.UNSUPPORTED_ALGORITHM: gettext_lazy("the key type or the signature algorithm is not supported"),
    KeyFault.UNSUPPORTED_KEY_TYPE: gettext_lazy("the certificate's key must be RSA, ECDSA or Ed25519"),
    KeyFault.SHORT_CURVE: gettext_lazy("an elliptic curve must have at least %(bits)s bits"),
    KeyFault.WEAK_DIGEST: gettext_lazy("the certificate is signed with %(name)s, which is not secure"),
    KeyFault.RSA_LENGTH: gettext_lazy("an RSA key must have %(fewest)s to %(most)s bits, not %(bits)s"),
    KeyFault.RSA_EXPONENT: gettext_lazy(
        "the RSA key's public exponent must be odd, at least 3, and at most 64 bits long"
    ),
    EncodingFault.NOT_BASE64URL: gettext_lazy("not base64url"),
    EncodingFault.NOT_CANONICAL_BASE64URL: gettext_lazy("not canonical base64url"),
    NetworkFault.NO_NETWORK: gettext_lazy("%(line)s is neither an address nor a network such as 192.0.2.0/24"),
    NetworkFault.IPV4_AS_IPV6: gettext_lazy("%(network)s has IPv4 addresses: write it as an IPv4 network"),
    NetworkFault.ALL_ADDRESSES: gettext_lazy(
        "a network of all addresses allows every address: leave the list empty instead"
    ),
    NetworkFault.TOO_MANY: gettext_lazy("at most %(most)s networks"),
    AddressFault.NOT_ALLOWED: gettext_lazy(
        "this address is not public, or its port is not allowed; CALLBACK_ALLOW can list it"
    ),
}


def text_of(error: Exception) -> str:
    """Returns the text of this error in the visitor's language. Texts from libraries are not translated."""
    if not isinstance(error, InvalidValue):
        return str(error)[:_LONGEST_TEXT]
    parameters = {
        name: text_of(value) if isinstance(value, Exception) else value for name, value in error.parameters.items()
    }
    return str(TEXTS[error.fault]) % parameters
