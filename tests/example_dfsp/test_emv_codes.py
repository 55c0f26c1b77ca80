"""The text of QR codes: EMVCo's published example, examples derived from the specification, round trips, and codes that
must not be paid.

Each vector says where it comes from. Only the first is copied from EMVCo's document.
"""

import binascii

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_dfsp.emv_codes import CodeError, PaymentCode, _split, checksum, data_objects, read, written
from example_dfsp.qr_pictures import svg_of, text_in
from kitovu_connector import parse_amount
from tests.example_dfsp.cases import each
from tests.examples import examples

# Published: EMV QR Code Specification for Payment Systems, Merchant-Presented Mode, version 1.1, annex: the complete
# example, with the fields that the annex lists for it.
EMVCO = (
    "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST TRANSPORT"
    "6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A60086670902ME91320016A011223344"
    "9988770708123456786304A13A"
)
EMVCO_FIELDS: dict[str, str | dict[str, str]] = {
    "00": "01",  # payload format indicator
    "01": "12",  # point of initiation: for one payment
    "29": {"00": "D15600000000", "05": "A93FO3230Q"},  # merchant account information
    "31": {"00": "D15600000001", "03": "12345678"},
    "52": "4111",  # merchant category code
    "58": "CN",
    "59": "BEST TRANSPORT",
    "60": "BEIJING",
    "64": {"00": "ZH", "01": "最佳运输", "02": "北京"},  # the same in another language
    "54": "23.72",
    "53": "156",
    "55": "01",  # the payer may add a tip
    "62": {"03": "1234", "06": "***", "07": "A6008667", "09": "ME"},
    "91": {"00": "A011223344998877", "07": "12345678"},
    "63": "A13A",  # the checksum
}
# From elsewhere, and not of EMVCo: a PromptPay code as Thai open-source libraries print it for the number 0801234567.
# Its checksum was verified with Python's own CRC.
PROMPTPAY = "00020101021129370016A000000677010111011300668012345675802TH530376463046197"
SHOP = PaymentCode(
    id_type="BUSINESS",
    id_value="600101",
    name="Mama Ntilie Kitchen",
    city="Arusha",
    currency="TZS",
    amount=parse_amount("4500"),
    reference="K7M2Q9PX",
    category="5499",
)
SHOP_TEXT = (
    "00020101021226400014org.kitovu.pay01066001010208BUSINESS520454995303834540445005802TZ5919Mama Ntilie Kitchen"
    "6006Arusha62120508K7M2Q9PX6304"
)


def with_checksum(text: str) -> str:
    """The text up to the checksum's length, with the right checksum."""
    return text + checksum(text)


def parts(objects: list[tuple[str, str]], wanted: dict[str, str | dict[str, str]]) -> dict[str, str | dict[str, str]]:
    """The objects of a code, with the inner objects of those that have some in `wanted`."""
    return {id_: dict(_split(value)) if isinstance(wanted.get(id_), dict) else value for id_, value in objects}


def test_the_published_example_has_the_published_fields() -> None:
    assert parts(data_objects(EMVCO), EMVCO_FIELDS) == EMVCO_FIELDS
    with pytest.raises(CodeError, match="another payment scheme"):
        read(EMVCO)


def test_a_change_of_any_character_of_the_published_example_is_noticed() -> None:
    """Derived: the specification's checksum covers every character, so no changed character may pass."""
    for place in range(len(EMVCO)):
        other = "7" if EMVCO[place] != "7" else "8"
        with pytest.raises(CodeError):
            data_objects(EMVCO[:place] + other + EMVCO[place + 1 :])


def test_the_checksum_is_the_one_that_the_specification_names() -> None:
    """Derived: ISO/IEC 13239 with the polynomial 1021 and the initial value FFFF, whose check value in catalogues of
    checksums is 29B1. Python's own CRC is an independent implementation.
    """
    assert checksum("123456789") == "29B1"
    assert checksum("") == "FFFF"
    for text in (EMVCO, PROMPTPAY):
        assert checksum(text[:-4]) == text[-4:]
        assert f"{binascii.crc_hqx(text[:-4].encode(), 0xFFFF):04X}" == text[-4:]


@settings(max_examples=examples(30))
@given(st.text(max_size=99))
def test_the_checksum_equals_an_independent_one(text: str) -> None:
    assert checksum(text) == f"{binascii.crc_hqx(text.encode(), 0xFFFF):04X}"


def test_a_code_of_another_scheme_is_read_as_far_as_the_specification_goes() -> None:
    """PROMPTPAY lacks the name, city and category that EMVCo requires, so it is not complete."""
    with pytest.raises(CodeError, match="not complete"):
        data_objects(PROMPTPAY)
    completed = PROMPTPAY[:-8] + "52040000" + "5904Test" + "6007Bangkok" + "6304"
    assert dict(data_objects(with_checksum(completed)))["29"] == "0016A00000067701011101130066801234567"


@each(
    "case",
    {
        # Derived from the rules for each object in the specification's chapter 4.
        "the objects in another order": (
            "000201" + "6006Arusha" + "5919Mama Ntilie Kitchen" + "5802TZ" + "54044500" + "5303834" + "52045499"
            "26400014org.kitovu.pay01066001010208BUSINESS" + "6304",
            "45000000 ",
        ),
        "without a point of initiation": (SHOP_TEXT.replace("010212", "", 1), "45000000 K7M2Q9PX"),
        "for many payments, with an amount": (SHOP_TEXT.replace("010212", "010211", 1), "45000000 K7M2Q9PX"),
        "accounts of two schemes": (
            SHOP_TEXT.replace("2640", "02164000123456789012" + "2640", 1),
            "45000000 K7M2Q9PX",
        ),
        "the last template of accounts": (SHOP_TEXT.replace("26400014", "51400014", 1), "45000000 K7M2Q9PX"),
        "two decimals": (SHOP_TEXT.replace("54044500", "540598.73"), "987300 K7M2Q9PX"),
        "no amount": (SHOP_TEXT.replace("54044500", ""), "None K7M2Q9PX"),
        "a tip is possible": (SHOP_TEXT.replace("5802TZ", "550201" + "5802TZ"), "45000000 K7M2Q9PX"),
        "the payer may enter a reference": (
            SHOP_TEXT.replace("0508K7M2Q9PX", "0503***").replace("6212", "6207"),
            "45000000 ",
        ),
        "other data beside the reference": (
            SHOP_TEXT.replace("62120508K7M2Q9PX", "62200508K7M2Q9PX07041234"),
            "45000000 K7M2Q9PX",
        ),
        "another language": (SHOP_TEXT.replace("6304", "64140002SW0104Mama" + "6304"), "45000000 K7M2Q9PX"),
        "objects without a meaning yet": (SHOP_TEXT.replace("6304", "6503abc" + "6304"), "45000000 K7M2Q9PX"),
        "a postal code": (SHOP_TEXT.replace("6304", "610523101" + "6304"), "45000000 K7M2Q9PX"),
    },
)
def test_what_the_specification_allows_is_read(case: tuple[str, str]) -> None:
    text, wanted = case
    found = read(with_checksum(text))
    assert (found.id_value, found.name, f"{found.amount} {found.reference}") == ("600101", SHOP.name, wanted)
    small = with_checksum(text)
    assert read(small[:-4] + small[-4:].lower()) == found


def test_a_shops_code_has_the_objects_of_the_specification() -> None:
    assert written(SHOP) == with_checksum(SHOP_TEXT)
    assert read(written(SHOP)) == SHOP


@each(
    "case",
    {
        "an empty text": ("", "no payment code"),
        "a link": ("https://example.com/pay?to=600101", "no payment code"),
        "the checksum is missing": (SHOP_TEXT[:-4], "not complete"),
        "the checksum is wrong": (SHOP_TEXT + "0000", "checksum"),
        "one digit of the amount is changed": (written(SHOP).replace("54044500", "54049500"), "checksum"),
        "a length runs past the end": (with_checksum("000201015912Mama6304"), "damaged"),
        "a length is no number": (with_checksum("0002010159xxMama6304"), "damaged"),
        "an object is empty": (with_checksum("00020101590063045900" + "6304"), "damaged"),
        "the amount is there twice": (with_checksum(SHOP_TEXT.replace("54044500", "5404450054044500")), "twice"),
        "the amount is no number": (with_checksum(SHOP_TEXT.replace("54044500", "540445,0")), "amount"),
        "parts of a cent": (with_checksum(SHOP_TEXT.replace("54044500", "54051.005")), "amount"),
        "an amount below nothing": (with_checksum(SHOP_TEXT.replace("54044500", "5402-5")), "amount"),
        "a fixed fee": (
            with_checksum(SHOP_TEXT.replace("5802TZ", "550202" + "5603500" + "5802TZ")),
            "a fee that this bank cannot add",
        ),
        "a percentage as fee": (
            with_checksum(SHOP_TEXT.replace("5802TZ", "550203" + "57015" + "5802TZ")),
            "a fee that this bank cannot add",
        ),
        "the account is for nobody's template": (
            with_checksum(SHOP_TEXT.replace("26400014", "52400014", 1)),
            "twice",
        ),
        "an inner length runs past the end": (with_checksum(SHOP_TEXT.replace("0014org", "0099org")), "damaged"),
        "the checksum is not at the end": (SHOP_TEXT + checksum(SHOP_TEXT) + "6105x", "not complete"),
        "the name is missing": (with_checksum(SHOP_TEXT.replace("5919Mama Ntilie Kitchen", "")), "not complete"),
        "another currency": (with_checksum(SHOP_TEXT.replace("5303834", "5303840")), "currency"),
        "another scheme": (
            with_checksum(SHOP_TEXT.replace("kitovu.pay", "kitovu.pax")),
            "another payment scheme",
        ),
        "a later version": (with_checksum(SHOP_TEXT.replace("000201", "000202", 1)), "version"),
        "too long": ("0002" + "0" * 600, "too long"),
    },
)
def test_a_code_that_cannot_be_paid_says_why(case: tuple[str, str]) -> None:
    text, reason = case
    with pytest.raises(CodeError, match=reason):
        read(text)


_TEXT = st.text(st.characters(categories=("L", "N"), max_codepoint=0x24F), min_size=1, max_size=25)


@settings(max_examples=examples(60))
@given(
    st.builds(
        PaymentCode,
        id_type=st.just("MSISDN"),
        id_value=st.text("0123456789", min_size=9, max_size=15),
        name=_TEXT,
        city=_TEXT.map(lambda text: text[:15]),
        currency=st.sampled_from(["TZS", "KES"]),
        amount=st.none() | st.integers(1, 10**12).map(lambda cents: cents * 100),
        reference=st.just("") | _TEXT,
        is_merchant=st.just(False),
    )
)
def test_what_is_written_is_read(code: PaymentCode) -> None:
    assert read(written(code)) == code


@settings(max_examples=examples(60))
@given(st.text(max_size=200), st.sampled_from(["", "000201", written(SHOP)[:40]]))
def test_no_text_does_anything_but_be_refused(text: str, beginning: str) -> None:
    try:
        read(beginning + text)
    except CodeError:
        return
    pytest.fail(f"{beginning + text!r} was read")


# --- pictures ---------------------------------------------------------------------------------------------------------


def pixels_of(svg: str, scale: int) -> tuple[bytes, int]:
    """The grey pixels of a code as a camera sees it, of which each module has so many pixels."""
    size = int(svg.split('viewBox="0 0 ')[1].split()[0])
    dark = {tuple(map(int, part.split("h")[0].split())) for part in svg.split('#000" d="M')[1].split('"')[0].split("M")}
    rows = [bytes(40 if (x // scale, y) in dark else 215 for x in range(size * scale)) for y in range(size)]
    return b"".join(row * scale for row in rows), size * scale


def test_a_picture_of_a_code_is_read() -> None:
    pixels, width = pixels_of(svg_of(written(SHOP)), 5)
    assert text_in(pixels, width) == written(SHOP)


def test_a_picture_without_a_code_has_no_text() -> None:
    pixels, width = pixels_of(svg_of(written(SHOP)), 5)
    assert text_in(bytes(200) * 200, 200) is None
    for wrong in (0, -1, width + 1, len(pixels) + 1):
        assert text_in(pixels, wrong) is None
    assert text_in(b"", 1) is None
