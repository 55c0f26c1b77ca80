"""python -m example_dfsp NAME --state DIR --port PORT --connector URL: runs one example bank until SIGTERM."""

import argparse
from pathlib import Path

from aiohttp import web

from example_dfsp.bank import Bank
from example_dfsp.books import Books
from example_dfsp.customers import DATA, read_customers


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_dfsp", description=__doc__)
    parser.add_argument("name", help="the bank's participant name")
    parser.add_argument("--state", type=Path, required=True, help="folder of its books")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connector", required=True, help="base URL of its connector's outbound API")
    parser.add_argument("--customers", type=Path, default=DATA / "customers.csv")
    asked = parser.parse_args()
    customers = [customer for customer in read_customers(asked.customers) if customer.dfsp == asked.name]
    bank = Bank(asked.name, customers, Books(asked.state / "books.sqlite3"), asked.connector)
    web.run_app(bank.application(), host="127.0.0.1", port=asked.port, print=None, access_log=None, shutdown_timeout=2)


if __name__ == "__main__":
    main()
