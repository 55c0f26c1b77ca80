"""Signatures: those of others verify, ours verify elsewhere, and nothing that differs in anything verifies."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from fspiop import base64url, jws
from fspiop.errors import FspiopError
from tests.fspiop import vectors

GREEN = rsa.generate_private_key(public_exponent=65537, key_size=2048)
GREEN_KEY = GREEN.public_key()
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
DATE = "Tue, 23 May 2017 21:12:31 GMT"
URI = "/transfers/b51ec534-ee48-4575-b6a9-ead2955b8069"
BODY = '{"completedTimestamp":"2017-05-23T21:12:31.000Z","note":"Zoë","transferState":"COMMITTED"}'.encode()
HEADERS = {"fspiop-source": "green", "fspiop-destination": "blue", "date": DATE, "content-length": "43"}
PROTECTED = {
    "alg": "RS256",
    "FSPIOP-URI": URI,
    "FSPIOP-HTTP-Method": "PUT",
    "FSPIOP-Source": "green",
    "FSPIOP-Destination": "blue",
    "Date": DATE,
}
SIGNED = jws.sign(BODY, key=GREEN, method="PUT", uri=URI, source="green", destination="blue", date=DATE)


def check(
    signature: str = SIGNED,
    body: bytes = BODY,
    *,
    keys: tuple[rsa.RSAPublicKey, ...] = (GREEN_KEY,),
    method: str = "PUT",
    uri: str = URI,
    headers: dict[str, str] = HEADERS,
    by: Callable[..., object] = jws.verify,
) -> object:
    return by(signature, body, keys=keys, method=method, uri=uri, headers=headers)


def refusal(*args: object, **kwargs: object) -> str:
    with pytest.raises(FspiopError) as refused:
        check(*args, **kwargs)  # type: ignore[arg-type]
    assert refused.value.code == "3105"
    return refused.value.description


def signed_over(
    protected: dict[str, object] | bytes, *, body: bytes = BODY, sha: hashes.HashAlgorithm | None = None
) -> str:
    """A signature of green's that is right in itself, over whatever protected header."""
    raw = protected if isinstance(protected, bytes) else json.dumps(protected).encode()
    header = base64url.encode(raw)
    signature = GREEN.sign(f"{header}.{base64url.encode(body)}".encode(), padding.PKCS1v15(), sha or hashes.SHA256())
    return json.dumps({"signature": base64url.encode(signature), "protectedHeader": header})


# What others made


def test_the_example_of_the_specification_verifies() -> None:
    modulus = int.from_bytes(base64url.decode(vectors.SPEC_KEY_MODULUS), "big")
    check(
        json.dumps({"signature": vectors.SPEC_SIGNATURE, "protectedHeader": vectors.SPEC_PROTECTED_HEADER}),
        vectors.SPEC_BODY.encode(),
        keys=(rsa.RSAPublicNumbers(65537, modulus).public_key(),),
        method="POST",
        uri="/quotes",
        headers={"fspiop-source": "1234", "fspiop-destination": "5678", "date": DATE},
    )


def test_a_signature_of_the_mojaloop_sdk_verifies() -> None:
    check(
        json.dumps({"signature": vectors.SDK_SIGNATURE, "protectedHeader": vectors.SDK_PROTECTED_HEADER}),
        vectors.SDK_BODY.encode(),
        keys=(jws.load_public_key(vectors.SDK_KEY.encode()),),
        headers={
            "fspiop-source": "blue",
            "fspiop-destination": "green",
            "fspiop-uri": URI,
            "fspiop-http-method": "PUT",
            "date": DATE,
        },
    )


# What we make


def test_our_signature_says_what_the_reference_signs() -> None:
    parts = json.loads(SIGNED)
    assert list(parts) == ["signature", "protectedHeader"]
    assert json.loads(base64url.decode(parts["protectedHeader"])) == PROTECTED
    assert len(parts["signature"]) == 342
    assert " " not in SIGNED
    check()


def test_destination_and_date_are_signed_only_when_there_are_any() -> None:
    signed = jws.sign(b"", key=GREEN, method="GET", uri="/parties/MSISDN/1", source="green", destination=None)
    protected = json.loads(base64url.decode(json.loads(signed)["protectedHeader"]))
    assert set(protected) == {"alg", "FSPIOP-URI", "FSPIOP-HTTP-Method", "FSPIOP-Source"}
    check(signed, b"", method="GET", uri="/parties/MSISDN/1", headers={"fspiop-source": "green", "date": DATE})


@given(st.binary(max_size=300), st.text(st.characters(codec="ascii", categories=("L", "N", "P")), max_size=80))
def test_what_is_signed_verifies(body: bytes, path: str) -> None:
    uri = f"/quotes/{path}"
    signed = jws.sign(body, key=GREEN, method="POST", uri=uri, source="green", destination="blue", date=DATE)
    check(signed, body, method="POST", uri=uri)


@pytest.mark.parametrize("sha", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_the_three_algorithms_of_the_specification_verify(sha: hashes.HashAlgorithm) -> None:
    check(signed_over({**PROTECTED, "alg": f"RS{sha.name[3:]}"}, sha=sha))


def test_any_of_a_participants_keys_will_do() -> None:
    check(keys=(OTHER_KEY, GREEN_KEY))
    assert refusal(keys=(OTHER_KEY,)) == refusal(keys=())


# What differs


@given(st.data())
def test_no_other_octet_anywhere_in_the_signature_header_verifies(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SIGNED) - 1))
    other = data.draw(st.characters(exclude_characters=SIGNED[at]))
    refusal(SIGNED[:at] + other + SIGNED[at + 1 :])
    refusal(SIGNED[:at] + SIGNED[at + 1 :])


@given(st.data())
def test_no_insertion_into_the_signature_header_verifies_but_blanks_between_tokens(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(SIGNED)))
    refusal(SIGNED[:at] + data.draw(st.characters(exclude_characters=" \t\r\n")) + SIGNED[at:])


def flipped(octets: bytes) -> Iterator[bytes]:
    for at, octet in enumerate(octets):
        for bit in range(8):
            yield octets[:at] + bytes([octet ^ 1 << bit]) + octets[at + 1 :]


def test_no_flipped_bit_anywhere_verifies() -> None:
    parts = json.loads(SIGNED)
    mutants = 0
    for name in parts:
        for octets in flipped(base64url.decode(parts[name])):
            refusal(json.dumps({**parts, name: base64url.encode(octets)}))
            mutants += 1
    for octets in flipped(SIGNED.encode()):
        refusal(octets.decode("latin-1"))
        mutants += 1
    for octets in flipped(BODY):
        refusal(body=octets)
        mutants += 1
    for octets in flipped(URI.encode()):
        refusal(uri=octets.decode("latin-1"))
        mutants += 1
    for name in ("fspiop-source", "fspiop-destination", "date"):
        for octets in flipped(HEADERS[name].encode()):
            refusal(headers={**HEADERS, name: octets.decode("latin-1")})
            mutants += 1
    assert mutants > 10_000


@given(st.data())
def test_no_longer_or_shorter_body_verifies(data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(BODY) - 1))
    refusal(body=BODY[:at] + BODY[at + 1 :])
    refusal(body=BODY[:at] + data.draw(st.binary(min_size=1, max_size=3)) + BODY[at:])


@given(st.data())
def test_no_other_uri_method_or_header_verifies(data: st.DataObject) -> None:
    def another(text: str) -> str:
        at = data.draw(st.integers(0, len(text) - 1))
        return text[:at] + data.draw(st.text(max_size=2).filter(lambda other: other != text[at])) + text[at + 1 :]

    refusal(uri=another(URI))
    refusal(method=another("PUT"))
    for name in ("fspiop-source", "fspiop-destination", "date"):
        refusal(headers={**HEADERS, name: another(HEADERS[name])})


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"uri": f"/fspiop{URI}"}, "FSPIOP-URI"),
        ({"uri": f"{URI}/"}, "FSPIOP-URI"),
        ({"uri": f"{URI}?a=1"}, "FSPIOP-URI"),
        ({"uri": f"{URI}/error"}, "FSPIOP-URI"),
        ({"method": "put"}, "FSPIOP-HTTP-Method"),
        ({"method": "PATCH"}, "FSPIOP-HTTP-Method"),
        ({"headers": {**HEADERS, "fspiop-uri": "/transfers"}}, "fspiop-uri header"),
        ({"headers": {**HEADERS, "fspiop-http-method": "POST"}}, "fspiop-http-method header"),
        ({"headers": {**HEADERS, "fspiop-source": "red"}}, "FSPIOP-Source"),
        ({"headers": {**HEADERS, "fspiop-source": "Green"}}, "FSPIOP-Source"),
        ({"headers": {**HEADERS, "fspiop-destination": "red"}}, "FSPIOP-Destination"),
        ({"headers": {"fspiop-source": "green", "date": DATE}}, "FSPIOP-Destination"),
        ({"headers": {"fspiop-source": "green", "fspiop-destination": "blue"}}, "Date"),
        ({"headers": {}}, "FSPIOP-Source"),
    ],
)
def test_a_signature_moved_to_another_request_is_refused(request_: dict[str, object], why: str) -> None:
    assert why in refusal(**request_)


def test_the_headers_that_repeat_the_request_may_be_there() -> None:
    check(headers={**HEADERS, "fspiop-uri": URI, "fspiop-http-method": "PUT"})


# What a protected header may say


@pytest.mark.parametrize("name", ["alg", "FSPIOP-URI", "FSPIOP-HTTP-Method", "FSPIOP-Source", "FSPIOP-Destination"])
def test_what_must_be_protected_must_be_protected(name: str) -> None:
    without = {other: value for other, value in PROTECTED.items() if other != name}
    assert name in refusal(signed_over(without))
    # In other letters it is not the parameter that the specification names.
    assert name in refusal(signed_over({**without, name.swapcase(): PROTECTED[name]}))


def test_the_date_and_harmless_names_need_not_be_there_and_other_headers_may() -> None:
    without = {name: value for name, value in PROTECTED.items() if name != "Date"}
    check(signed_over(without))
    check(signed_over({**PROTECTED, "typ": "JOSE", "cty": "json"}))
    check(signed_over({**PROTECTED, "Content-Length": "43"}))
    assert "Content-Length" in refusal(signed_over({**PROTECTED, "Content-Length": "44"}))
    assert "X-Unknown" in refusal(signed_over({**PROTECTED, "X-Unknown": "1"}))


@pytest.mark.parametrize(
    "algorithm",
    ["none", "None", "HS256", "HS512", "ES256", "PS256", "EdDSA", "rs256", "RS256 ", "RS1", "", None, ["RS256"], 1],
)
def test_another_algorithm_is_refused(algorithm: object) -> None:
    refusal(signed_over({**PROTECTED, "alg": algorithm}))


def test_the_public_key_is_no_hmac_secret() -> None:
    header = base64url.encode(json.dumps({**PROTECTED, "alg": "HS256"}).encode())
    pem = GREEN_KEY.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    mac = hmac.digest(pem, f"{header}.{base64url.encode(BODY)}".encode(), "sha256")
    assert "alg" in refusal(json.dumps({"signature": base64url.encode(mac), "protectedHeader": header}))


def test_a_signature_with_another_hash_than_alg_says_is_refused() -> None:
    refusal(signed_over(PROTECTED, sha=hashes.SHA512()))


@pytest.mark.parametrize(
    "name", ["crit", "b64", "kid", "jwk", "jku", "x5c", "x5u", "x5t", "x5t#S256", "KID", "enc", "zip"]
)
def test_what_would_change_the_check_or_bring_a_key_is_refused(name: str) -> None:
    assert name.lower() in refusal(signed_over({**PROTECTED, name: "x"}), headers={**HEADERS, name.lower(): "x"})


@pytest.mark.parametrize("value", [["b64"], False, {"kty": "RSA"}, None, 1])
def test_a_parameter_that_is_not_text_is_refused(value: object) -> None:
    assert "not a JSON object of strings" in refusal(signed_over({**PROTECTED, "crit": value}))


def test_a_protected_header_with_a_name_twice_is_refused() -> None:
    raw = json.dumps(PROTECTED).encode()
    refusal(signed_over(raw[:-1] + b', "alg": "RS256"}'))
    refusal(signed_over(raw[:-1] + b', "\\u0061lg": "RS256"}'))
    assert "twice" in refusal(signed_over({**PROTECTED, "date": DATE}))
    assert "twice" in refusal(signed_over({**PROTECTED, "fspiop-source": "green"}))


@pytest.mark.parametrize(
    "raw", [b"", b"[]", b'"alg"', b"null", b"\xff\xfe", b"{", b"{} {}", b"\xef\xbb\xbf{}", b"[" * 9000]
)
def test_a_protected_header_that_is_no_json_object_is_refused(raw: bytes) -> None:
    refusal(signed_over(raw))


# What the header itself may look like


@pytest.mark.parametrize(
    "mutate",
    [
        lambda h: "",
        lambda h: " ",
        lambda h: "{}",
        lambda h: f"{h}, {h}",
        lambda h: f"{h}{h}",
        lambda h: f"[{h}]",
        lambda h: h[:-1],
        lambda h: h[:-1] + ',"payload":"e30"}',
        lambda h: h[:-1] + ',"header":{}}',
        lambda h: h[:-1] + "," + h[1:],
        lambda h: h.replace("protectedHeader", "protected"),
        lambda h: h.replace("signature", "Signature"),
        lambda h: json.dumps({**json.loads(h), "signature": ""}),
        lambda h: json.dumps({**json.loads(h), "signature": None}),
        lambda h: json.dumps({**json.loads(h), "protectedHeader": ""}),
        lambda h: json.dumps({**json.loads(h), "protectedHeader": "A" * 32_769}),
        lambda h: json.dumps({**json.loads(h), "signature": "A" * 684}),
        lambda h: " " * 40_000 + h,
        lambda h: json.loads(h)["protectedHeader"] + ".." + json.loads(h)["signature"],
        lambda h: "\udc80",
        lambda h: "é",
    ],
)
def test_another_shape_of_the_header_is_refused(mutate: Callable[[str], str]) -> None:
    refusal(mutate(SIGNED))


def test_the_header_may_have_blanks_and_another_order_as_the_specification_prints_it() -> None:
    parts = json.loads(SIGNED)
    check(json.dumps(parts, indent=2))
    check(json.dumps(dict(reversed(parts.items()))))


@pytest.mark.parametrize("part", ["signature", "protectedHeader"])
@pytest.mark.parametrize(
    "spell", [lambda t: t + "=", lambda t: t + "==", lambda t: t + "\n", lambda t: " " + t, lambda t: "A" + t]
)
def test_a_part_in_another_spelling_is_refused(part: str, spell: Callable[[str], str]) -> None:
    parts = json.loads(SIGNED)
    refusal(json.dumps({**parts, part: spell(parts[part])}))


def test_left_over_bits_in_the_last_letter_are_refused() -> None:
    parts = json.loads(SIGNED)
    text = parts["signature"]  # 256 octets: the last of 342 letters carries four bits that mean nothing
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = letters.index(text[-1])
    assert at % 16 == 0
    for more in range(1, 16):
        assert "canonical" in refusal(json.dumps({**parts, "signature": text[:-1] + letters[at + more]}))


def test_the_standard_alphabet_is_refused() -> None:
    parts = json.loads(SIGNED)
    text = parts["signature"].replace("-", "+").replace("_", "/")
    assert text != parts["signature"]
    refusal(json.dumps({**parts, "signature": text}))


# For peers that sign their JSON written anew


def test_the_compat_check_says_which_form_was_signed() -> None:
    sent = '{ "b": "Zoë", "a": {"d": "1", "c": "2"} }'.encode()
    in_order = '{"b":"Zoë","a":{"d":"1","c":"2"}}'.encode()
    by_name = '{"a":{"c":"2","d":"1"},"b":"Zoë"}'.encode()
    for body, form in ((sent, "raw"), (by_name, "sorted"), (in_order, "compact")):
        signed = signed_over(PROTECTED, body=body)
        assert check(signed, sent, by=jws.verify_compat) == form
        if form != "raw":
            refusal(signed, sent)


def test_the_compat_check_refuses_what_no_form_explains() -> None:
    for sent in (b'{"b":"1","a":"3"}', b"not JSON", b"", b'{"a":"2","b":"1","b":"1"}'):
        refusal(signed_over(PROTECTED, body=b'{"a":"2","b":"1"}'), sent, by=jws.verify_compat)
    refusal(SIGNED, uri="/quotes", by=jws.verify_compat)


# Keys


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, password: bytes | None = None) -> bytes:
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)


def public_pem_of(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def test_keys_are_read_from_pem() -> None:
    key = jws.load_private_key(pem_of(GREEN))
    signed = jws.sign(b"{}", key=key, method="POST", uri="/quotes", source="green", destination="blue")
    check(signed, b"{}", keys=(jws.load_public_key(public_pem_of(GREEN_KEY)),), method="POST", uri="/quotes")


def test_a_weak_or_foreign_key_is_not_read() -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    curve = ec.generate_private_key(ec.SECP256R1())
    for key in (weak, curve):
        with pytest.raises(ValueError, match="RSA key"):
            jws.load_private_key(pem_of(key))
        with pytest.raises(ValueError, match="RSA key"):
            jws.load_public_key(public_pem_of(key.public_key()))
    for pem in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", pem_of(GREEN, b"secret")):
        for load in (jws.load_private_key, jws.load_public_key):
            with pytest.raises(ValueError, match=r"."):
                load(pem)


@pytest.mark.parametrize("bits", [2047, 4104])
def test_a_key_outside_the_bounds_is_not_read(bits: int) -> None:
    public = rsa.RSAPublicNumbers(65537, 2 ** (bits - 1) + 1).public_key()
    with pytest.raises(ValueError, match=f"not {bits}"):
        jws.load_public_key(public_pem_of(public))


def test_a_signing_key_whose_signature_would_not_fit_the_header_is_not_read() -> None:
    longest = rsa.generate_private_key(public_exponent=65537, key_size=4096)
    jws.load_public_key(public_pem_of(longest.public_key()))
    with pytest.raises(ValueError, match="2048 to 3072"):
        jws.load_private_key(pem_of(longest))


@pytest.mark.parametrize("exponent", [1, 2, 65536, 2**65 + 1])
def test_a_key_with_an_unsound_exponent_is_not_read(exponent: int) -> None:
    modulus = GREEN_KEY.public_numbers().n

    # Such a key can not be made with the library, only received: 65537's octets are exchanged in the encoding.
    def integer(number: int) -> bytes:
        octets = number.to_bytes(number.bit_length() // 8 + 1, "big")
        return b"\x02" + length(len(octets)) + octets

    def length(n: int) -> bytes:
        return bytes([n]) if n < 128 else b"\x82" + n.to_bytes(2, "big")

    content = integer(modulus) + integer(exponent)
    der = b"\x30" + length(len(content)) + content
    pem = b"-----BEGIN RSA PUBLIC KEY-----\n" + base64.encodebytes(der) + b"-----END RSA PUBLIC KEY-----\n"
    with pytest.raises(ValueError, match=r"(?i)exponent|\be\b"):
        jws.load_public_key(pem)
