"""FSPIOP-Signature: a JSON Web Signature in a header, separate from the signed body (API Signature v1.1, RFC 7515).

A general JOSE library takes the algorithm, the keys and the extensions from the message, so an attacker can choose
them. So this module calls RSA directly. A message can only choose one of three hash algorithms.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from fspiop import base64url, strictjson
from fspiop.errors import ErrorCode, FspiopError
from fspiop.invalid_value_codes import InvalidValue, KeyFault

# The algorithms that API Signature v1.1 allows (section 3.2, step 3 A). The hub supports neither ES256 nor "none" nor
# HMAC. The reference hub accepts ES256.
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "RS256": hashes.SHA256(),
    "RS384": hashes.SHA384(),
    "RS512": hashes.SHA512(),
}
# The check ignores these parameters of the protected header, because they do not describe the request. For every other
# parameter, the request must have an HTTP header with the parameter's name and value.
_IGNORED = frozenset({"typ", "cty"})
# The hub refuses parameters that change how a signature is checked, and parameters that choose or contain a key. The
# hub uses only registered keys (RFC 7515, 10).
_REFUSED = frozenset({"crit", "b64", "kid", "jwk", "jku", "x5c", "x5u", "x5t", "x5t#s256", "enc", "zip"})

_FEWEST_KEY_BITS = 2048
_MOST_KEY_BITS = 4096
_MOST_SIGNING_KEY_BITS = 3072  # a signature by a longer key would exceed 512 characters, the limit in table 1
_LONGEST_SIGNATURE = 683  # the length of a signature by the longest allowed key
_LONGEST_PROTECTED_HEADER = 32_768
_LONGEST_HEADER = 40_000

Form = Literal["raw", "sorted", "compact"]


def load_private_key(pem: bytes) -> RSAPrivateKey:
    """Reads a private key for signing (API Signature v1.1, 3.2).

    Raises ValueError if the key is not RSA of 2048 to 3072 bits.
    """
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"not a readable private key: {error}") from None
    if not isinstance(key, RSAPrivateKey):
        raise InvalidValue(KeyFault.NOT_RSA)
    check_strength(key.public_key(), _MOST_SIGNING_KEY_BITS)
    return key


def load_public_key(pem: bytes) -> RSAPublicKey:
    """Reads a participant's public key (API Signature v1.1, 3.2).

    Raises ValueError if the key is not RSA of 2048 to 4096 bits, or is weak.
    """
    try:
        key = serialization.load_pem_public_key(pem)
    except UnsupportedAlgorithm as error:
        raise InvalidValue(KeyFault.UNREADABLE_PUBLIC_KEY, error=error) from None
    if not isinstance(key, RSAPublicKey):
        raise InvalidValue(KeyFault.NOT_RSA)
    check_strength(key)
    return key


def sign(
    body: bytes,
    *,
    key: RSAPrivateKey,
    method: str,
    uri: str,
    source: str,
    destination: str | None,
    date: str | None = None,
) -> str:
    """Signs a request with RS256 and returns the value of FSPIOP-Signature (API Signature v1.1, 3.2).

    `uri` is the path and query of the request, without any prefix before the resource ("/transfers/...").
    """
    protected = {"alg": "RS256", "FSPIOP-URI": uri, "FSPIOP-HTTP-Method": method, "FSPIOP-Source": source}
    if destination is not None:
        protected["FSPIOP-Destination"] = destination
    if date is not None:
        protected["Date"] = date
    header_text = base64url.encode(_compact(protected))
    signature = key.sign(_signing_input(header_text, body), PKCS1v15(), _HASHES["RS256"])
    return _compact({"signature": base64url.encode(signature), "protectedHeader": header_text}).decode("ascii")


def verify(
    signature_header: str,
    body: bytes,
    *,
    keys: Sequence[RSAPublicKey],
    method: str,
    uri: str,
    headers: Mapping[str, str],
) -> None:
    """Checks that one of `keys` signed exactly these bytes for this request (API Signature v1.1, 3.3).

    `method` and `uri` must come from the actual request, not from the headers FSPIOP-URI and FSPIOP-HTTP-Method. `uri`
    is the path and query, without any prefix before the resource. The names in `headers` must be in lower case. Raises
    FspiopError 3105 if the signature is malformed or wrong.
    """
    algorithm, header_text, signature = _read(signature_header, method=method, uri=uri, headers=headers)
    if not _is_signed(header_text, body, signature, keys, algorithm):
        raise _refused("the signature does not match the request")


def verify_compat(
    signature_header: str,
    body: bytes,
    *,
    keys: Sequence[RSAPublicKey],
    method: str,
    uri: str,
    headers: Mapping[str, str],
) -> Form:
    """Checks the signature of a sender that perhaps signed a re-serialised form of the JSON body. Returns the name of
    the form that the sender signed. Raises the same errors as `verify`. The Node libraries of the reference hub do not
    sign the bytes that they send. These libraries parse the body, serialise it again and sign the result. Since 2026,
    the reference hub's libraries sort the keys of JSON objects. Before 2026, these libraries did not change the order
    of the keys.
    """
    algorithm, header_text, signature = _read(signature_header, method=method, uri=uri, headers=headers)
    for form, octets in _forms(body):
        if _is_signed(header_text, octets, signature, keys, algorithm):
            return form
    raise _refused("the signature does not match the request")


def _read(
    signature_header: str, *, method: str, uri: str, headers: Mapping[str, str]
) -> tuple[hashes.HashAlgorithm, str, bytes]:
    """Checks that the signature's protected header matches the request. Returns the hash algorithm, the header's text
    and the signature."""
    header_text, signature_text = _split(signature_header)
    protected = _read_protected(header_text)
    algorithm = _HASHES.get(protected.pop("alg", ""))
    if algorithm is None:
        raise _refused("alg must be RS256, RS384 or RS512")
    _check_bindings(protected, method=method, uri=uri, headers=headers)
    return algorithm, header_text, _octets(signature_text, "signature")


def _split(signature_header: str) -> tuple[str, str]:
    if not signature_header:
        raise _refused("the signature is missing")
    if len(signature_header) > _LONGEST_HEADER:
        raise _refused("the signature header is too long")
    # If a request has this header twice, the server joins the two values with a comma. `_json` then refuses the text.
    value = _json(signature_header.encode("utf-8", "surrogatepass"), "the signature header")
    if value.keys() != {"signature", "protectedHeader"}:
        raise _refused("the signature header must have signature and protectedHeader, and nothing else")
    header_text, signature_text = value["protectedHeader"], value["signature"]
    if not 1 <= len(header_text) <= _LONGEST_PROTECTED_HEADER:
        raise _refused("protectedHeader is empty or too long")
    if not 1 <= len(signature_text) <= _LONGEST_SIGNATURE:
        raise _refused("signature is empty or too long")
    return header_text, signature_text


def _read_protected(header_text: str) -> dict[str, str]:
    protected = _json(_octets(header_text, "protectedHeader"), "protectedHeader")
    names = {name.lower() for name in protected}
    if len(names) != len(protected):
        raise _refused("protectedHeader contains a name twice")
    if refused := names & _REFUSED:
        raise _refused(f"protectedHeader must not have {min(refused)}")
    return protected


def _check_bindings(protected: dict[str, str], *, method: str, uri: str, headers: Mapping[str, str]) -> None:
    """Checks that the values in the protected header match the request (section 3.3, step 3). Removes the checked
    values from `protected`."""
    # Names in the protected header are case-sensitive: the reference hub does not accept "fspiop-uri" for "FSPIOP-URI".
    if protected.pop("FSPIOP-URI", None) != uri:
        raise _refused("FSPIOP-URI is not the URI of this request")
    if protected.pop("FSPIOP-HTTP-Method", None) != method:
        raise _refused("FSPIOP-HTTP-Method is not the method of this request")
    # A request can also have the HTTP headers FSPIOP-URI and FSPIOP-HTTP-Method. These headers must match the actual
    # URI and method, because the recipient of the forwarded message perhaps uses them.
    if headers.get("fspiop-uri", uri) != uri:
        raise _refused("the fspiop-uri header is not the URI of this request")
    if headers.get("fspiop-http-method", method) != method:
        raise _refused("the fspiop-http-method header is not the method of this request")
    if "FSPIOP-Source" not in protected:
        raise _refused("FSPIOP-Source is not protected")
    if "fspiop-destination" in headers and "FSPIOP-Destination" not in protected:
        raise _refused("FSPIOP-Destination is not protected")
    for name, value in protected.items():
        if name not in _IGNORED and headers.get(name.lower()) != value:
            raise _refused(f"{name} is not the request's")


def _is_signed(
    header_text: str, body: bytes, signature: bytes, keys: Sequence[RSAPublicKey], algorithm: hashes.HashAlgorithm
) -> bool:
    """Returns whether the signature was made with one of these keys. A participant has two valid keys while it replaces
    its signing key."""
    signing_input = _signing_input(header_text, body)
    for key in keys:
        try:
            key.verify(signature, signing_input, PKCS1v15(), algorithm)
        except InvalidSignature:
            continue
        return True
    return False


def _forms(body: bytes) -> Iterator[tuple[Form, bytes]]:
    yield "raw", body
    try:
        value = strictjson.loads(body)
    except FspiopError:
        return
    yield "sorted", strictjson.canonical(value)
    yield "compact", _compact(value)


def _signing_input(header_text: str, body: bytes) -> bytes:
    return f"{header_text}.{base64url.encode(body)}".encode("ascii")


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _json(raw: bytes, what: str) -> dict[str, str]:
    """Reads a JSON object whose values are all strings, because every parameter of a signed request must be a
    string."""
    try:
        value = strictjson.loads(raw)
    except FspiopError:
        raise _refused(f"{what} is not JSON") from None
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise _refused(f"{what} is not a JSON object of strings")
    return value


def _octets(text: str, what: str) -> bytes:
    try:
        return base64url.decode(text)
    except ValueError as error:
        raise _refused(f"{what} is {error}") from None


def check_strength(key: RSAPublicKey, most_bits: int = _MOST_KEY_BITS) -> None:
    """Raises ValueError if the key is weak, or if checks with this key would be too slow."""
    if not _FEWEST_KEY_BITS <= key.key_size <= most_bits:
        raise InvalidValue(KeyFault.RSA_LENGTH, fewest=_FEWEST_KEY_BITS, most=most_bits, bits=key.key_size)
    exponent = key.public_numbers().e
    # With an exponent of 1, anybody could forge signatures. With a huge exponent, checking a signature would take as
    # long as making one.
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > 64:
        raise InvalidValue(KeyFault.RSA_EXPONENT)


def _refused(detail: str) -> FspiopError:
    return FspiopError(ErrorCode.INVALID_SIGNATURE, detail)
