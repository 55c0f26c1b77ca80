"""A file of a list is taken whole, or refused whole with the number of each bad line."""

from contextlib import suppress

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from rules.lists import party_files
from rules.lists.party_files import BadFile, read
from rules.party_keys import key_of

HEAD = "type,identifier,sub_id,name,reference\n"


def faults_of(text: str | bytes) -> dict[int, str]:
    with pytest.raises(BadFile) as refused:
        read(text if isinstance(text, bytes) else text.encode())
    return {fault.line: fault.text for fault in refused.value.faults}


def test_a_good_file_has_parties_and_names() -> None:
    found = read(
        (
            "\ufeff" + HEAD + 'MSISDN,+255712001001,,,\r\n\nPERSONAL_ID,AB1,PASSPORT,,r2\n,,,"Ömer Çelik, Jr.",EU.1\n'
        ).encode()
    )
    assert [(line.key, line.name, line.folded, line.reference) for line in found.lines] == [
        (key_of("MSISDN", "255712001001"), "", "", ""),
        (key_of("PERSONAL_ID", "AB1", "PASSPORT"), "", "", "r2"),
        (None, "Ömer Çelik, Jr.", "CELIK JR OMER", "EU.1"),
    ]
    assert len(found.sha256) == 64


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("MSISDN,12x,,,", "identifier is not a valid MSISDN"),
        ("EMAIL,ada,,,", "identifier is not a valid EMAIL"),
        ("IBAN,1,,,", "identifier is not a valid IBAN"),
        ("PHONE,1,,,", "type must be one of ACCOUNT_ID, ALIAS, BUSINESS"),
        ("MSISDN,,,,", "a line must have a type and an identifier, or a name"),
        (",1,,,", "a line must have a type and an identifier, or a name"),
        ("MSISDN,1,,Ada,", "a line must have an identifier or a name, not both"),
        (",,,!!!,", "name has no letter or digit"),
        ("MSISDN,1,", "has 3 fields, but the first line has 5"),
        ('MSISDN,"1,,,', "unexpected end of data"),
        (f"ALIAS,{'a' * 129},,,", "identifier has more than 128 characters"),
        ("ALIAS,a\x00b,,,", "identifier has characters that cannot be printed"),
        ("ALIAS,a\u200bb,,,", "identifier has characters that cannot be printed"),
        ("MSISDN,+255712001001,,,x", "repeats line 2"),
    ],
)
def test_a_bad_line_is_named(line: str, fault: str) -> None:
    found = faults_of(HEAD + "MSISDN,255712001001,,,\nMSISDN,2,,,\n" + line + "\nMSISDN,3,,,\n")
    assert list(found) == [4]
    assert found[4].startswith(fault)


def test_each_bad_line_is_named_and_bytes_that_are_no_text_too() -> None:
    assert list(faults_of(HEAD.encode() + b"MSISDN,1,,,\n\xff\nMSISDN,x,,,\n,,,,\nMSISDN,2,,,\n")) == [3, 4, 5]
    with pytest.raises(BadFile, match=r"line 2: .*; \.\.\.") as refused:
        read((HEAD + "x,x,,,\n" * 1500).encode())
    assert (len(refused.value.faults), refused.value.count) == (1000, 1500)


@pytest.mark.parametrize(
    "text", ["", "\n\n", "MSISDN,1\n", "type\n", "name,name\n", "type,identifier,what\nMSISDN,1,2\n"]
)
def test_a_file_without_its_columns_is_refused_at_its_first_line(text: str) -> None:
    assert list(faults_of(text)) == [1]


def test_a_file_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(party_files, "MOST_LINES", 3)
    read((HEAD + "".join(f"MSISDN,{number},,,\n" for number in range(3))).encode())
    assert list(faults_of(HEAD + "".join(f"MSISDN,{number},,,\n" for number in range(5)))) == [5]
    monkeypatch.setattr(party_files, "MOST_BYTES", 10)
    assert list(faults_of("name\n" + "a" * 10)) == [1]


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: ("type,identifier,name\n" + text).encode("utf-8", "surrogatepass"))
)
def test_no_file_does_more_than_being_refused(raw: bytes) -> None:
    with suppress(BadFile):
        read(raw)


def test_another_secret_gives_other_keys() -> None:
    before = key_of("MSISDN", "1")
    with override_settings(RULES_PARTY_KEY="another"):
        assert key_of("MSISDN", "1") != before
