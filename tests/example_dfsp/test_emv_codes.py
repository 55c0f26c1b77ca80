"""The text of QR codes: EMVCo's published examples, round trips, and codes that must not be paid."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from example_dfsp.emv_codes import CodeError, PaymentCode, checksum, data_objects, read, written
from example_dfsp.qr_pictures import svg_of, text_in
from kitovu_connector import parse_amount
from tests.example_dfsp.cases import each
from tests.examples import examples

# EMV QR Code Specification for Payment Systems, Merchant-Presented Mode, version 1.1, annex: the complete example.
EMVCO = (
    "00020101021229300012D156000000000510A93FO3230Q31280012D15600000001030812345678520441115802CN5914BEST TRANSPORT"
    "6007BEIJING64200002ZH0104最佳运输0202北京540523.7253031565502016233030412340603***0708A60086670902ME91320016A011223344"
    "9988770708123456786304A13A"
)
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


def test_the_published_example_is_read() -> None:
    objects = dict(data_objects(EMVCO))
    assert objects["59"] == "BEST TRANSPORT"
    assert objects["54"] == "23.72"
    assert objects["64"] == "0002ZH0104最佳运输0202北京"
    assert objects["63"] == "A13A"
    with pytest.raises(CodeError, match="another payment scheme"):
        read(EMVCO)


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
