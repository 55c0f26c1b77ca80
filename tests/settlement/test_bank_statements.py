"""The bank's statement, compared with the amounts that a settlement expects: read strictly, matched line by line.

Pure.
"""

import pytest

from settlement.bank_statements.matching import Expected, Finding, is_exact, match
from settlement.bank_statements.parsing import Direction, Line, Unreadable, read

HEAD = "settlement,reference,participant,currency,amount,direction"
EXPECTED = [
    Expected(1, "aaaa-01", "green", "TZS", 1_000_000),
    Expected(2, "bbbb-02", "blue", "TZS", -1_000_000),
    Expected(3, "cccc-03", "red", "TZS", 0),
]
CAMT = """<?xml version="1.0" encoding="UTF-8"?>
<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">
<BkToCstmrStmt><Stmt>{}</Stmt></BkToCstmrStmt></Document>"""
ENTRY = (
    '<Ntry><Amt Ccy="TZS">{amount}</Amt><CdtDbtInd>{way}</CdtDbtInd><Sts><Cd>{state}</Cd></Sts>'
    "<AcctSvcrRef>B1</AcctSvcrRef><NtryDtls><TxDtls><Refs><EndToEndId>{reference}</EndToEndId></Refs></TxDtls></NtryDtls>"
    "</Ntry>"
)


def csv_of(*rows: str, head: str = HEAD) -> bytes:
    return "\r\n".join((head, *rows, "")).encode()


def findings(*rows: str) -> list[Finding]:
    return [found.finding for found in match(read(csv_of(*rows)), EXPECTED)]


def test_a_file_of_all_that_is_expected_is_exact() -> None:
    lines = read(csv_of("7,AAAA01,green,TZS,100.00,DEBIT", "7,bbbb02,blue,TZS,100,CREDIT"))
    assert lines[0] == Line(2, "AAAA01", "TZS", 1_000_000, Direction.DEBIT, "green", "7")
    assert is_exact(match(lines, EXPECTED), EXPECTED)


def test_what_is_missing_or_too_much_or_other_is_not_exact() -> None:
    green, blue = "7,aaaa01,green,TZS,100,DEBIT", "7,bbbb02,blue,TZS,100,CREDIT"
    for rows in ([green], [green, blue, "7,dddd,red,TZS,1,DEBIT"], [green, blue, blue]):
        assert not is_exact(match(read(csv_of(*rows)), EXPECTED), EXPECTED)
    assert findings("7,aaaa01,green,TZS,100.01,DEBIT") == [Finding.OTHER_AMOUNT]
    assert findings("7,aaaa01,green,TZS,100,CREDIT") == [Finding.OTHER_DIRECTION]
    assert findings("7,aaaa01,blue,TZS,100,DEBIT") == [Finding.OTHER_PARTICIPANT]
    assert findings("7,aaaa01,green,KES,100,DEBIT") == [Finding.OTHER_CURRENCY]
    assert findings("7,zzzz,green,TZS,100,DEBIT") == [Finding.UNKNOWN_REFERENCE]
    assert findings(green, green) == [Finding.MATCHED, Finding.TWICE]
    # an account that neither pays nor is paid is expected in no statement
    assert findings("7,cccc03,red,TZS,1,DEBIT") == [Finding.UNKNOWN_REFERENCE]


def test_two_errors_that_cancel_each_other_are_two_errors() -> None:
    rows = ["7,aaaa01,green,TZS,99,DEBIT", "7,bbbb02,blue,TZS,99,CREDIT"]
    assert findings(*rows) == [Finding.OTHER_AMOUNT, Finding.OTHER_AMOUNT]


def test_columns_come_in_any_order_and_the_banks_reference_may_be_among_them() -> None:
    head = "direction,amount,bankReference,currency,participant,reference,settlement"
    (line,) = read(csv_of("DEBIT,12.50,B 77,TZS,green,aaaa01,7", head=head))
    assert (line.amount, line.bank_reference, line.direction) == (125_000, "B 77", Direction.DEBIT)


def test_a_camt_053_statement_is_read() -> None:
    entries = [
        ENTRY.format(amount="100.00", way="DBIT", state="BOOK", reference="aaaa01"),
        ENTRY.format(amount="100", way="CRDT", state="BOOK", reference="bbbb02"),
    ]
    lines = read(CAMT.format("".join(entries)).encode())
    assert lines[0] == Line(1, "aaaa01", "TZS", 1_000_000, Direction.DEBIT, bank_reference="B1")
    assert is_exact(match(lines, EXPECTED), EXPECTED)
    with pytest.raises(Unreadable, match="not booked"):
        read(CAMT.format(ENTRY.format(amount="1", way="DBIT", state="PDNG", reference="x")).encode())
