"""Files of payments: a file with a fault is refused whole, with the numbers of its lines; no result is a formula."""

import csv
import io

from example_dfsp.payment_lists import MOST_LINES, Fault, example, read, written
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
        "a cell without an end": (HEAD + 'S1,"' + "x" * 200_000, 0, "CSV"),
    },
)
def test_a_file_with_a_fault_is_refused_whole(case: tuple[str | bytes, int, str]) -> None:
    text, number, reason = case
    found = faults(text)
    assert found[0].number == number
    assert reason in found[0].text


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
