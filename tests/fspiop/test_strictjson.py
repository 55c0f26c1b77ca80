import hashlib
import json
from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fspiop.errors import ErrorCode, FspiopError
from fspiop.strictjson import canonical, digest, loads

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


def refusal(raw: bytes, **options: int) -> str:
    with pytest.raises(FspiopError) as found:
        loads(raw, **options)
    assert found.value.error is ErrorCode.MALFORMED_SYNTAX
    assert found.value.http_status == 400
    return found.value.description.removeprefix("Malformed syntax - ")


@given(values)
def test_what_json_can_say_is_read_as_python_reads_it(value):
    for raw in (json.dumps(value).encode(), json.dumps(value, ensure_ascii=False, indent=1).encode()):
        assert loads(raw) == value


@given(values)
def test_the_canonical_form_says_the_same_and_is_its_own_canonical_form(value):
    once = canonical(value)
    assert loads(once) == value
    assert canonical(loads(once)) == once


@given(st.dictionaries(texts, values, max_size=6), st.randoms())
def test_the_order_of_the_keys_does_not_change_the_digest(value, random):
    keys = list(value)
    random.shuffle(keys)
    assert digest({key: value[key] for key in keys}) == digest(value)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_by_the_api_s_own_error(raw):
    with suppress(FspiopError):  # any other exception would be a 500
        loads(raw)


def test_the_canonical_form_is_sorted_compact_and_unescaped():
    assert canonical({"b": [1, {"z": None, "a": "é/€\u2028"}], "a": '\n"'}) == (
        '{"a":"\\n\\"","b":[1,{"a":"é/€\u2028","z":null}]}'.encode()
    )
    assert digest({"b": 1, "a": 2}) == hashlib.sha256(b'{"a":2,"b":1}').digest()


def test_the_canonical_form_of_no_number_is_refused():
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})


@pytest.mark.parametrize("raw", [b'{"a":1,"a":1}', b'{"a":1,"\\u0061":2}', b'[{"x":{"a":1,"b":2,"a":3}}]'])
def test_a_key_that_stands_twice_is_refused(raw):
    assert refusal(raw) == "the body has a key twice"


def test_the_same_key_in_two_objects_is_read():
    assert loads(b'{"a":{"a":1},"b":{"a":2}}') == {"a": {"a": 1}, "b": {"a": 2}}


@pytest.mark.parametrize("raw", [b'{"a":NaN}', b"[Infinity]", b"-Infinity"])
def test_what_only_javascript_calls_a_number_is_refused(raw):
    assert refusal(raw).endswith("which JSON does not allow")


@pytest.mark.parametrize(
    "raw",
    [
        b"1e400",
        b"-1e400",
        b"9" * 19,
        b"-" + b"9" * 19,
        b'{"a":' + b"1" * 5_000 + b"}",
        b"0." + b"1" * 5_000,
        b"1e99999",
    ],
)
def test_a_number_that_is_too_large_is_refused(raw):
    assert refusal(raw) == "the body has a number that is too large"


@pytest.mark.parametrize(
    "raw", [b"12345678901234.5678", b"0.1000000000000000055", b"1e-400", b'{"a":[9007199254740993.0]}']
)
def test_a_fraction_that_would_be_rounded_is_refused(raw):
    assert refusal(raw) == "the body has a number with too many digits; write it as text"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fraction_as_programs_write_it_is_read(value):
    assert loads(json.dumps(value).encode()) == value


@given(st.integers(0, 10**18 - 1), st.integers(1, 9999))
def test_a_fraction_is_read_as_it_stands_or_not_at_all(whole, rest):
    text = f"{whole}.{rest:04}"
    with suppress(FspiopError):
        assert Decimal(repr(loads(text.encode()))) == Decimal(text)


@pytest.mark.parametrize(("raw", "value"), [(b"9" * 18, 10**18 - 1), (b"-" + b"9" * 18, 1 - 10**18), (b"1.5", 1.5)])
def test_a_number_that_fits_is_read(raw, value):
    assert loads(raw) == value


@pytest.mark.parametrize("raw", [b'"\\u0000"', b'{"a":"x\\u0000y"}', b'{"a\\u0000":1}', b'["\\u00e9",["\\u0000"]]'])
def test_an_escaped_nul_is_refused_in_keys_and_values(raw):
    assert refusal(raw) == "the body has a NUL character"


@pytest.mark.parametrize("raw", [b'"a\0b"', b'{"a":1}\0', b"\0", b'{"a\0":1}'])
def test_a_raw_nul_is_refused(raw):
    assert refusal(raw).startswith("the body is not JSON")


def test_a_backslash_before_u0000_is_text():
    assert loads(b'"\\\\u0000"') == "\\u0000"


@pytest.mark.parametrize("raw", [b'"\\ud800"', b'"\\udc00"', b'{"\\udfff":1}', b'["\\ud83d x \\ude00"]'])
def test_half_of_a_surrogate_pair_is_refused(raw):
    assert refusal(raw) == "the body has half of a surrogate pair"


def test_a_whole_surrogate_pair_is_one_character():
    assert loads(b'"\\ud83d\\ude00"') == "😀"


@pytest.mark.parametrize(
    "raw", [b'"\xff"', b'"\xc3"', b'"\xed\xa0\x80"', b'"\xc0\xaf"', '"é"'.encode("latin-1"), '{"a":1}'.encode("utf-16")]
)
def test_what_is_not_utf_8_is_refused(raw):
    assert refusal(raw) == "the body is not UTF-8"


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b" ", b"{", b"}", b"[1,]", b'{"a":1,}', b"{'a':1}", b"{a:1}", b'{"a"}', b"nul", b"True", b"undefined"),
        *(b"01", b"1.", b".5", b"+1", b"0x1", b"1_0", b"1e", b'"', b'"\n"', b'"\\x41"', b'"\\u12"', b"'a'"),
        *(b"{} {}", b"{}x", b"1 2", b"[]]", b"// c\n{}", b"{}/* c */", b"\x0b{}", "\u00a0{}".encode()),
        b"\xef\xbb\xbf{}",  # a byte order mark
    ],
)
def test_what_is_not_json_is_refused(raw):
    assert refusal(raw).startswith("the body is not JSON")


@pytest.mark.parametrize("raw", [b"{}", b" {}\n", b"\t[]\r\n"])
def test_white_space_around_the_body_is_passed_over(raw):
    assert not loads(raw)


@pytest.mark.parametrize("depth", [33, 34, 900, 100_000, 150_000])
def test_a_body_that_is_nested_too_deeply_is_refused(depth):
    assert refusal(b"[" * depth + b"]" * depth) == "the body is nested deeper than 32"
    assert refusal(b'{"a":' * depth + b"1" + b"}" * depth) == "the body is nested deeper than 32"


def test_a_body_is_nested_as_deeply_as_allowed_and_no_further():
    assert loads(b"[" * 32 + b"]" * 32)
    assert loads(b"[[1]]", max_depth=2) == [[1]]
    assert refusal(b"[[[1]]]", max_depth=2) == "the body is nested deeper than 2"


def test_a_wide_body_and_brackets_in_text_are_not_depth():
    assert loads(b"[" + b"[]," * 500 + b"[]]") == [[]] * 501
    assert loads(b'"' + b"[" * 500 + b'"') == "[" * 500
