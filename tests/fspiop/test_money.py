import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fspiop
from fspiop.money import CURRENCIES, MAX_AMOUNT, AmountError, format_amount, minor_units, parse_amount

API_PATTERN = re.compile(r"([0]|([1-9][0-9]{0,17}))([.][0-9]{0,3}[1-9])?")  # as FSPIOP API v1.1, listing 20, has it

amounts = st.integers(min_value=0, max_value=MAX_AMOUNT)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("0", 0),
        ("1", 10_000),
        ("12.5", 125_000),
        ("0.0001", 1),
        ("0.5", 5_000),
        ("100", 1_000_000),
        ("5.0001", 50_001),
        ("99999999999999.9999", MAX_AMOUNT),
    ],
)
def test_an_amount_is_whole_ten_thousandths(text, amount):
    assert parse_amount(text) == amount
    assert format_amount(amount) == text


@given(amounts)
def test_every_amount_comes_back_as_it_went(amount):
    text = format_amount(amount)
    assert API_PATTERN.fullmatch(text)
    assert parse_amount(text) == amount


@given(st.from_regex(API_PATTERN, fullmatch=True))
def test_every_text_of_the_api_that_fits_comes_back_as_it_went(text):
    if len(text.partition(".")[0]) > 14:
        with pytest.raises(AmountError, match="at most 14 digits"):
            parse_amount(text)
    else:
        assert format_amount(parse_amount(text)) == text


@given(st.text(alphabet="0123456789.-+e_ ٣\n", max_size=8))
def test_what_the_api_s_pattern_refuses_is_refused(text):
    if API_PATTERN.fullmatch(text) is None:
        with pytest.raises(AmountError):
            parse_amount(text)
    else:
        assert parse_amount(text) >= 0


@pytest.mark.parametrize(
    "text",
    [
        *("1e3", "1E3", "010", "00", "00010", "1.10", "1.0", "0.0", "1.", ".5", "-1", "-0", "+5", "1_000", "1,5", ""),
        *(" 10", "10 ", "10\n", "10\0", "0x10", "NaN", "Infinity", "1.00001", "0.00000", "1.2.3"),
        *("١", "1٠", "１０", "²"),
        *("1" + "0" * 18, "9" * 19, "9" * 5_000),
    ],
)
def test_an_amount_in_another_form_is_refused(text):
    with pytest.raises(AmountError):
        parse_amount(text)


@pytest.mark.parametrize("value", [1, 1.5, 0, None, True, b"1", ["1"], {"amount": "1"}])
def test_an_amount_is_a_string(value):
    with pytest.raises(AmountError, match="must be a string"):
        parse_amount(value)


@pytest.mark.parametrize("text", ["100000000000000", "123456789012345", "999999999999999999", "123456789012345.0001"])
def test_an_amount_of_more_than_14_digits_does_not_fit(text):
    assert API_PATTERN.fullmatch(text)
    with pytest.raises(AmountError, match="at most 14 digits before the point"):
        parse_amount(text)


def test_the_largest_amount_is_a_64_bit_integer():
    assert MAX_AMOUNT < 2**63


@pytest.mark.parametrize(("amount", "text"), [(-1, "-0.0001"), (-125_000, "-12.5"), (-10_000, "-1")])
def test_a_report_may_show_what_is_owed(amount, text):
    assert format_amount(amount) == text


def test_the_currencies_are_those_of_the_api():
    assert len(CURRENCIES) == 164
    assert all(re.fullmatch("[A-Z]{3}", code) for code in CURRENCIES)
    assert {"XXX", "XTS", "XDR", "USD", "TZS"} <= set(CURRENCIES)
    assert (CURRENCIES["USD"], CURRENCIES["JPY"], CURRENCIES["KWD"], CURRENCIES["XXX"]) == (2, 0, 3, 4)
    assert set(CURRENCIES.values()) == {0, 2, 3, 4}


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [(125_000, "USD", 1250), (100, "USD", 1), (20_000, "JPY", 2), (10, "KWD", 1), (1, "XXX", 1), (0, "JPY", 0)],
)
def test_minor_units_are_the_currency_s_own(amount, currency, units):
    assert minor_units(amount, currency) == units


@pytest.mark.parametrize(("amount", "currency"), [(1, "USD"), (125_001, "USD"), (5_000, "JPY"), (1, "KWD")])
def test_a_fraction_of_a_minor_unit_is_refused_and_not_rounded(amount, currency):
    with pytest.raises(AmountError, match="decimals"):
        minor_units(amount, currency)


def test_minor_units_of_no_currency_are_refused():
    with pytest.raises(AmountError, match="ZZZ"):
        minor_units(10_000, "ZZZ")


def test_no_float_and_no_decimal_in_the_money_module():
    source = Path(fspiop.__path__[0], "money.py").read_text()
    assert not re.search(r"\bfloat\(|\bDecimal\b|\bround\(", source)
