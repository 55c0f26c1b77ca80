"""Files of payments: a file with a fault is refused whole, with the numbers of its lines; no result is a formula."""

import csv
import io

import pytest

from example_dfsp.payment_lists import MOST_IN_TOTAL, MOST_LINES, Fault, example, read, written
from fspiop.money import MAX_AMOUNT
from hub.local.demo.onboarding import NET_DEBIT_CAP
from kitovu_connector import parse_amount
from tests.example_dfsp.cases import each

HEAD = "id,to,name,amount,currency,note\n"
GOOD = "S1,255655001001,Idrisi Msuya,15000.50,TZS,November\n"


def faults(text: str | bytes) -> list[Fault]:
    raw = text.encode() if isinstance(text, str) else text
    lines, found = read(raw, "TZS", "255712005001")
    assert bool(lines) != bool(found)
    return found


def test_a_good_file_is_read() -> None:
    text = "\ufeff" + HEAD.replace(",", ";").upper() + "S1;MSISDN/+255655001001;Idrisi;15000.50;TZS;Nov\r\n"
    (line,), none = read(text.encode(), "TZS", "255712005001")
    assert none == []
    assert (line.number, line.id, line.to, line.amount) == (2, "S1", "255655001001", parse_amount("15000.5"))
    assert (line.name, line.note) == ("Idrisi", "Nov")


def test_the_largest_total_is_an_amount() -> None:
    assert MOST_IN_TOTAL == MAX_AMOUNT


@pytest.mark.parametrize("to", ["0655001001", "+255 655-001-001", "00255655001001", "MSISDN/0655 001 001"])
def test_a_number_is_read_as_the_form_for_one_payment_reads_it(to: str) -> None:
    """Before, a number without its country code was taken, and its payment failed: nobody has this number."""
    (line,), none = read((HEAD + GOOD.replace("255655001001", to)).encode(), "TZS", "255712005001")
    assert none == []
    assert line.to == "255655001001"
    assert (
        faults(HEAD + GOOD.replace("255655001001", "0712005001"))[0].text
        == "The payment goes to the payer's own number."
    )


def test_columns_without_names_and_values_are_left_out() -> None:
    """A spreadsheet writes them for cells that were once filled."""
    (line,), none = read(b"id,to,amount,currency,,\nS1,255655001001,100,TZS,,\n", "TZS", "255712005001")
    assert none == []
    assert line.amount == parse_amount("100")


@each(
    "case",
    {
        "not UTF-8": (HEAD.encode() + b"\xff\xfe", 0, "UTF-8"),
        "an empty file": ("", 0, "must name"),
        "no header": (GOOD, 0, "must name"),
        "no payments": (HEAD, 0, "no payments"),
        "no id": (HEAD + GOOD + GOOD.replace("S1", ""), 3, "id"),
        "an id twice": (HEAD + GOOD + GOOD, 3, "twice"),
        "no number": (HEAD + GOOD.replace("255655001001", "Idrisi"), 2, "phone number"),
        "to oneself": (HEAD + GOOD.replace("255655001001", "255712005001"), 2, "own number"),
        "another currency": (HEAD + GOOD.replace("TZS", "KES"), 2, "currency"),
        "a comma in the amount": (HEAD + GOOD.replace("15000.50", '"15,000"'), 2, "figures"),
        "a negative amount": (HEAD + GOOD.replace("15000.50", "-5"), 2, "figures"),
        "nothing": (HEAD + GOOD.replace("15000.50", "0"), 2, "above 0"),
        "three decimals": (HEAD + GOOD.replace("15000.50", "1.005"), 2, "two decimals"),
        "too few columns": (HEAD + "S1,255655001001\n", 2, ""),
        "too many lines": (HEAD + "".join(GOOD.replace("S1", f"S{n}") for n in range(MOST_LINES + 1)), 0, "10,000"),
        "a cell without an end": (HEAD + 'S1,"' + "x" * 200_000, 2, "CSV"),
        "a quotation mark that swallows the next people": (
            HEAD + GOOD + 'S2,255655001002,Petro,100,TZS,"November\n' + GOOD.replace("S1", "S3"),
            3,
            "quotation marks",
        ),
        "two quotation marks that pay one the wage of another": (
            HEAD + 'S1,255655001001,"A,100,TZS,\nS2,255655001002,B,200,TZS,\nS3,255655001003,C",300,TZS,\n',
            2,
            "line break",
        ),
        "a quotation mark in the first line": ('"' + HEAD + GOOD, 1, "quotation marks"),
        "a control character": (HEAD + "\n" + GOOD.replace("Idrisi", "Idrisi\x0b"), 3, "control character"),
        "a line break of Unicode": (HEAD + GOOD.replace("Idrisi", "Idrisi\u2028"), 2, "line break"),
        "a comma too many": ("id,to,currency,amount\nS1,255655001001,TZS,1,500\n", 2, "more values"),
        "a value under no name": ("id,to,currency,amount,\nS1,255655001001,TZS,1,500\n", 2, "more values"),
        "a column twice": ("id,to,amount,Amount,currency\nS1,255655001001,1,500,TZS\n", 1, "twice"),
        "a number without its country code": (HEAD + GOOD.replace("255655001001", "06550010011"), 2, "country code"),
        "a total that fits into no account": (
            HEAD + "".join(f"S{n},255655001001,,99999999999999,TZS,\n" for n in range(MOST_LINES)),
            0,
            "too large",
        ),
    },
)
def test_a_file_with_a_fault_is_refused_whole(case: tuple[str | bytes, int, str]) -> None:
    text, number, reason = case
    found = faults(text)
    assert found[0].number == number
    assert reason in found[0].text


@pytest.mark.parametrize(("lines", "listed"), [(9, 9), (12, 10)])
def test_a_file_with_many_wrong_lines_says_that_not_all_are_listed(lines: int, listed: int) -> None:
    found = faults(HEAD + "".join(f"S{number},nobody,1,TZS\n" for number in range(lines)))
    assert [fault.number for fault in found if fault.number] == list(range(2, 2 + listed))
    told = [fault.text for fault in found if not fault.number]
    assert [text.startswith("Only the first 10 wrong lines") for text in told] == [True] * (lines > listed)


def test_an_example_of_ten_thousand_lines_is_a_good_file() -> None:
    people = [("255655001001", "Idrisi"), ("255712001001", "Grace")]
    lines, none = read(example(people, "TZS", MOST_LINES, "SALARY").encode(), "TZS", "255712005001")
    assert none == []
    assert len(lines) == MOST_LINES
    assert len({line.id for line in lines}) == MOST_LINES
    assert sum(line.amount for line in lines) < parse_amount(str(NET_DEBIT_CAP))  # before, it was six times this cap


def test_a_spreadsheet_runs_nothing_of_a_result() -> None:
    text = written(("id", "note"), [("=1+1", "@SUM(A1)"), ("-5", None), ("a,b", 'say "x"')])
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[1:] == [["'=1+1", "'@SUM(A1)"], ["'-5", ""], ["a,b", 'say "x"']]


def test_a_result_is_read_as_the_list_that_was_paid() -> None:
    text = written(("id", "to", "name", "amount", "currency"), [("-5", "255655001001", "=A1", "100", "TZS")])
    (line,), none = read(text.encode(), "TZS", "255712005001")
    assert none == []
    assert (line.id, line.name) == ("-5", "=A1")
