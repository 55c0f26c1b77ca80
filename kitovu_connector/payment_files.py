"""Makes the payments of a CSV file, several at a time, and writes the result of each payment.

Every line has the core's own id for the payment. So the bank can send an interrupted file again, and no line is paid
twice.
"""

import asyncio
import csv
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from kitovu_connector.amounts import AmountError, format_amount, parse_amount
from kitovu_connector.foreign_texts import in_spreadsheet
from kitovu_connector.running_connector_client import CoreRequests, NotRunning, RequestRefused

COLUMNS = ("id", "to", "amount", "currency")
_RESULT = ("id", "state", "errorCode", "errorDescription", "transferId")
_PATIENCE_S = 60.0  # how long the program waits for a connector that does not answer, for example during a restart
_PAUSE_S = 1.0
_MOST_FAULTS = 20
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class FaultyFile(Exception):
    """The error for a faulty file. Nothing was paid. The text has one line for each fault."""


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one line.

    `state` is COMMITTED, ABORTED or REFUSED (no payment has begun). For an open payment, `state` is the payment's
    state. If the line's id belongs to a payment with other content, `state` is the state of this payment, and `code` is
    3106.
    """

    home_id: str
    state: str
    code: str = ""
    text: str = ""
    transfer_id: str = ""


def read(path: Path, payer: Mapping[str, str]) -> list[dict[str, Any]]:
    """Returns the body of POST /payments for each line. Raises FaultyFile if a line is faulty, or if two lines have the
    same id.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = _rows(file)
            _, header = next(rows, (1, []))
            if isinstance(header, ValueError):
                raise FaultyFile(f"{path}, line 1: {header}")
            names = [name.strip() for name in header]
            if any(name not in names for name in COLUMNS):
                raise FaultyFile(f"{path}: the first line must name {', '.join(COLUMNS)}, and may name note")
            if twice := [name for name in names if name and names.count(name) > 1]:
                raise FaultyFile(f"{path}: the first line names {twice[0]} twice")
            found, faults, seen = [], [], set[str]()
            for number, row in rows:
                try:
                    if isinstance(row, ValueError):
                        raise row
                    payment = _payment(names, row, payer)
                    if payment["homeTransactionId"] in seen:
                        raise ValueError(f"the id {payment['homeTransactionId']} occurs twice")
                    seen.add(payment["homeTransactionId"])
                    found.append(payment)
                except ValueError as error:
                    faults.append(f"{path}, line {number}: {error}")
    except (OSError, UnicodeDecodeError) as error:
        raise FaultyFile(f"{path} cannot be read: {error}") from None
    if faults:
        more = [f"and {len(faults) - _MOST_FAULTS} further lines"] if len(faults) > _MOST_FAULTS else []
        raise FaultyFile("\n".join([*faults[:_MOST_FAULTS], *more]))
    return found


def _rows(file: TextIO) -> Iterator[tuple[int, list[str] | ValueError]]:
    """Returns the rows that are not empty, each with the number of its line. Ends after a row that is not CSV.

    A stray quotation mark would join several lines into one value. So no value can contain a line break.
    """
    reader = csv.reader(file, strict=True)
    number = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            yield number, ValueError(f"is not CSV: {error}")
            return
        if row is None:
            return
        if any(_CONTROL.search(value) for value in row):
            yield number, ValueError("has a line break or a control character in a value; check the quotation marks")
        elif row:
            yield number, row
        number = reader.line_num + 1


async def pay(
    connector: CoreRequests,
    payments: list[dict[str, Any]],
    *,
    at_once: int,
    results: Path,
    told: Callable[[Result], None],
) -> list[Result]:
    """Makes the payments, and writes each payment's result as soon as the result is known.

    Raises NotRunning if the connector has not processed a payment's request for a minute. After the error NotRunning,
    the bank can send the file again.
    """
    left, found = iter(payments), []
    with results.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(_RESULT)

        async def work(waiting: Iterator[dict[str, Any]]) -> None:
            for payment in waiting:
                result = await _pay_one(connector, payment)
                _write(file, result)
                found.append(result)
                told(result)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(at_once):
                    group.create_task(work(left))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None  # all tasks fail for the same reason, so one of the errors is enough
    return found


async def _pay_one(connector: CoreRequests, payment: dict[str, Any]) -> Result:
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_S
    while True:
        try:
            return await _result_of(connector, payment)
        except NotRunning:
            if loop.time() > end:
                raise
            await asyncio.sleep(_PAUSE_S)


async def _result_of(connector: CoreRequests, payment: dict[str, Any]) -> Result:
    home_id = payment["homeTransactionId"]
    try:
        found = await connector.pay(payment)
    except RequestRefused as error:
        begun = await connector.payment(home_id)
        if begun is None:
            return Result(home_id, "REFUSED", error.code, error.why)
        return Result(home_id, begun["state"], error.code, error.why, begun["transferId"])
    code, text = found.get("errorCode") or "", found.get("errorDescription") or ""
    return Result(home_id, found["state"], code, text, found["transferId"])


def _write(file: TextIO, result: Result) -> None:
    # Only this text comes from another DFSP. The bank's own columns stay unchanged.
    values = [result.home_id, result.state, result.code, in_spreadsheet(result.text), result.transfer_id]
    csv.writer(file).writerow(values)
    file.flush()


def _payment(names: list[str], row: list[str], payer: Mapping[str, str]) -> dict[str, Any]:
    cells = [(name, cell.strip()) for name, cell in zip_longest(names, row, fillvalue="")]
    if any(value and not name for name, value in cells):
        raise ValueError("has more values than the first line has names")
    values = {"note": ""} | dict(cells)  # a short row has empty values in its last columns
    for name in COLUMNS:
        if not values[name]:
            raise ValueError(f"{name} is empty")
    parts = values["to"].split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise ValueError(f"to: {values['to']} must be TYPE/VALUE, such as MSISDN/255655001001")
    try:
        amount = parse_amount(values["amount"])
    except AmountError as error:
        raise ValueError(f"amount: {error}") from None
    if amount == 0:
        raise ValueError("amount: must be above 0")
    return {
        "homeTransactionId": values["id"],
        "from": dict(payer),
        "to": dict(zip(("idType", "idValue", "idSubValue"), parts, strict=False)),
        "amount": format_amount(amount),
        "currency": values["currency"],
    } | ({"note": values["note"]} if values["note"] else {})
