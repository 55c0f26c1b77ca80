"""Computes the keys of profiles: keyed hashes of 63 bits. Because the keys are hashes, the tables of the rules do not
contain identifiers of customers.

The setting RULES_PARTY_KEY is the secret key of these hashes. Without RULES_PARTY_KEY, nobody can find a party's key
from a phone number.
"""

import hashlib
import unicodedata
from functools import lru_cache

from django.conf import settings

from fspiop import alias_spellings

_MASK = (1 << 63) - 1


def key_of(id_type: str, id_value: str, sub_id: str | None = None) -> int:
    """Returns the key of a party. All spellings of the party's identifier, type and sub-id have the same key.

    A payee DFSP can understand more spellings than the hub's directory, such as digits of another script. All these
    spellings have the same key. If each spelling had a different key, a party could avoid a limit or a block by using
    another spelling.
    """
    parts = [id_type, alias_spellings.identifier_key(id_type, _folded(id_type, id_value))]
    if sub_id:
        parts.append(alias_spellings.sub_key(_folded("", sub_id)))
    return _hash(b"party", *parts)


def _folded(id_type: str, text: str) -> str:
    """Replaces all digits in the text by ASCII digits, and removes invisible characters.

    In phone numbers and IBANs, all punctuation is left out.
    """
    folded = text
    if not (text.isascii() and text.isprintable()):
        seen = [each for each in unicodedata.normalize("NFKC", text) if unicodedata.category(each) not in ("Cc", "Cf")]
        folded = "".join(str(unicodedata.decimal(each, each)) for each in seen)
    folded = folded.strip()
    if id_type in ("MSISDN", "IBAN") and not folded.isalnum():
        folded = "".join(each for each in folded if each.isalnum())
    if id_type == "MSISDN":
        folded = folded.removeprefix("00")  # people dial 00 before a country code
    return folded or text


def dfsp_key(name: str) -> int:
    """Returns the key of a participant."""
    return _dfsp_key(name, settings.RULES_PARTY_KEY)


def pair_key(payer: int, payee: int) -> int:
    """Returns the key of a pair of payer and payee. Payments in the opposite direction have a different key."""
    return _pair_key(payer, payee, settings.RULES_PARTY_KEY)


def transaction_key(transaction_id: str) -> int:
    """Returns the key of an original payment, from its transfer id or its transaction id. The hub counts the refunds of
    the payment under this key."""
    return _hash(b"transaction", transaction_id)


@lru_cache(maxsize=4096)
def _dfsp_key(name: str, setting: str) -> int:
    # Each transfer needs the keys of the same few participants. The function takes `setting` as an argument for one
    # reason: `setting` must be part of the cache's key.
    return _hash(b"dfsp", name)


@lru_cache(maxsize=1024)
def _pair_key(payer: int, payee: int, setting: str) -> int:
    # The hub needs the key of a pair twice for each payment: to judge and to count the payment.
    return _hash(b"pair", str(payer), str(payee))


def _hash(kind: bytes, *parts: str) -> int:
    # Identifiers do not contain NUL. So a NUL between the parts ensures that different parts never make the same text.
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, key=_secret(settings.RULES_PARTY_KEY), person=kind).digest()
    return int.from_bytes(digest, "big") & _MASK


@lru_cache(maxsize=4)
def _secret(setting: str) -> bytes:
    # BLAKE2b takes a key of at most 64 bytes.
    return hashlib.sha512(setting.encode()).digest()
