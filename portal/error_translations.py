"""Translates the errors of the functions that read keys, certificates and networks.

These functions are below the portal, and their errors are English for the API's callers too. This module repeats their
sentences for translation. `tests/portal/test_error_translations.py` compares both.
"""

import re

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

SENTENCES = (
    # fspiop.keys, fspiop.jws
    gettext_noop("this is a private key; keep it, make a new one, and register its public part"),
    gettext_noop("not an RSA key"),
    gettext_noop("not a usable public key in PEM, X.509 or JWK: %(error)s"),
    gettext_noop("not a readable public key: %(error)s"),
    gettext_noop("not a JWK of an RSA key"),
    gettext_noop("not base64url"),
    gettext_noop("not canonical base64url"),
    gettext_noop("too long"),
    gettext_noop("this is a certificate authority's certificate; register the client's own"),
    gettext_noop("the signing request cannot be read: give it in PEM (BEGIN CERTIFICATE REQUEST)"),
    gettext_noop("the signing request is not signed by its own key"),
    gettext_noop("give one X.509 certificate in PEM, without its chain"),
    gettext_noop("the certificate cannot be read"),
    gettext_noop("its key type or its signature algorithm is not supported"),
    gettext_noop("an elliptic curve must have at least %(bits)s bits"),
    gettext_noop("the certificate's key must be RSA, ECDSA or Ed25519"),
    gettext_noop("the certificate is signed with %(name)s, which is not secure"),
    gettext_noop("an RSA key must have %(fewest)s to %(most)s bits, not %(bits)s"),
    gettext_noop("the RSA key's public exponent must be odd, at least 3, and at most 64 bits long"),
    # hub.participants.certificate_authority
    gettext_noop("its subject must have the common name %(name)s, and no other"),
    # hub.participants.profile
    gettext_noop("%(line)s is neither an address nor a network such as 192.0.2.0/24"),
    gettext_noop("%(network)s has IPv4 addresses: write it as an IPv4 network"),
    gettext_noop("a network of all addresses allows every address: leave the list empty instead"),
    gettext_noop("at most %(most)s networks"),
)
_PART = re.compile(r"%\\\((\w+)\\\)s")  # the form that `re.escape` gives a placeholder


def _pattern(sentence: str) -> re.Pattern[str]:
    return re.compile(_PART.sub(r"(?P<\1>.*)", re.escape(sentence)), re.DOTALL)


_PATTERNS = [(_pattern(sentence), sentence) for sentence in SENTENCES]


def translated(text: str) -> str:
    """This error in the visitor's language. An error of a library stays unchanged."""
    for pattern, sentence in _PATTERNS:
        found = pattern.fullmatch(text)
        if found:
            parts = found.groupdict()
            if "error" in parts:  # the cause: one of these sentences, or an error of a library
                parts["error"] = translated(parts["error"])
            return _(sentence) % parts if parts else _(sentence)
    return text
