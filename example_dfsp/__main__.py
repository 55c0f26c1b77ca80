"""python -m example_dfsp NAME --state DIR --port PORT --web-port PORT --connector URL: runs one bank until SIGTERM."""

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

import structlog
from aiohttp import web

from example_dfsp.all_pages import web_site
from example_dfsp.bank_application import Bank
from example_dfsp.books import Books
from example_dfsp.customers import DATA, read_customers
from example_dfsp.life import Life


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_dfsp", description=__doc__)
    parser.add_argument("name", help="the bank's participant name")
    parser.add_argument("--state", type=Path, required=True, help="folder of the bank's books")
    parser.add_argument("--port", type=int, required=True, help="port for the connector and the staff's scripts")
    parser.add_argument("--connector", required=True, help="base URL of the connector's outbound API")
    parser.add_argument("--web-port", type=int, help="port of the web site (default: no web site)")
    parser.add_argument("--host", action="append", default=[], help="a further host name of the web site")
    parser.add_argument("--life", type=float, default=0.0, help="how many payments the bank itself makes in a second")
    parser.add_argument("--seed", type=int, default=1, help="seed of the payments that the bank itself makes")
    parser.add_argument("--customers", type=Path, default=DATA / "customers.csv")
    asked = parser.parse_args()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    )
    everybody = read_customers(asked.customers)
    customers = [customer for customer in everybody if customer.dfsp == asked.name]
    bank = Bank(asked.name, customers, Books(asked.state / "books.sqlite3"), asked.connector)
    life = Life(bank, everybody, rate=asked.life, seed=asked.seed) if asked.life > 0 else None
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(bank, asked.port, asked.web_port, frozenset(asked.host), life))


async def _serve(bank: Bank, port: int, web_port: int | None, hosts: frozenset[str], life: Life | None) -> None:
    places = [(bank.application(), port)]
    if web_port:
        places.append((web_site(bank, hosts), web_port))
    async with contextlib.AsyncExitStack() as opened:
        for application, place in places:
            runner = web.AppRunner(application, access_log=None, shutdown_timeout=2)
            await runner.setup()
            opened.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", place).start()
        stopped = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stopped.set)
        living = asyncio.create_task(life.run()) if life is not None else None
        await stopped.wait()
        if living is not None:
            living.cancel()


if __name__ == "__main__":
    main()
