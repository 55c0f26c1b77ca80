"""Requests that no honest program sends: odd ids, odd paths, odd request lines."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

from fspiop.time import http_date
from tests.connector.hub_stub import Scheme, error, told

_IDS = """
%FF %00 a%00b %ED%A0%80 a%0Ab %F0%9F%98%80 %25 %2E%2E %2F '' 1'%20OR%201=1 %C0%AF %
"""
IDS = [*_IDS.split(), "x" * 4000]
INBOUND = """
PUT /transfers/{}  PATCH /transfers/{}  PUT /transfers/{}/error  PUT /quotes/{}/error  PUT /fxTransfers/{}/error
PUT /fxQuotes/{}/error  PUT /bulkTransfers/{}/error  PUT /bulkQuotes/{}/error  PUT /transactionRequests/{}/error
PUT /authorizations/{}/error  PUT /participants/{}/error  PUT /participants/MSISDN/{}/error
PUT /parties/MSISDN/1/{}/error  PUT /services/FXP/{}/KES/error  GET /bulkQuotes/{}  GET /authorizations/{}
GET /parties/MSISDN/{}  GET /participants/{}/1  PUT /%74ransfers/{}/error
"""
OUTBOUND = """
GET /payments/{}  POST /payments/{}/confirm  POST /payments/{}/cancel  GET /requests/{}  GET /transfers/{}
POST /receivedRequests/{}/reject  POST /requests/{}/otp  GET /payments?after={}  GET /payments?since={}  GET /{}
GET /transfers?limit={}  GET /payments?after=WzFlNDAwLCIiXQ  GET /payments?after=WzEsIlx1MDAwMCJd
"""  # the last two are [1e400, ""] and [1, "\\0"]
REFERENCE = """
GET /transfers/{}  PUT /transfers/{}  GET /simpleTransfers/{}  GET /bulkTransfers/{}  GET /bulkQuotes/{}
PUT /requestToPay/{}  PUT /bulkTransactions/{}  GET /{}
"""


async def statuses(world: Scheme) -> list[tuple[int, bytes]]:
    """Sends each of them. Returns each status with what was answered."""
    config, found = world.config, []
    for port, requests in (
        (config.inbound_port, INBOUND),
        (config.outbound_port, OUTBOUND),
        (config.reference_port, REFERENCE),
    ):
        words = requests.split()
        for method, path in zip(words[::2], words[1::2], strict=True):
            found += [await _raw(port, method, path.format(odd)) for odd in (IDS if "{}" in path else IDS[:1])]
    absolute = f"http://127.0.0.1:{config.inbound_port}/transfers/x"
    for method, path in (
        ("PUT", absolute),
        ("GET", "*"),
        ("PUT", "//transfers/x"),
        ("OPTIONS", "*"),
        ("PUT", "/transfers"),
    ):
        found.append(await _raw(config.inbound_port, method, path))
    return found


async def _raw(port: int, method: str, path: str) -> tuple[int, bytes]:
    resource = path.split("?")[0].split("/")[1] if "/" in path else "x"
    body: Any = error("5104") if path.endswith("/error") else told("ABORTED")
    raw = b"" if method in ("GET", "OPTIONS") else json.dumps(body).encode()
    kind = f"application/vnd.interoperability.{resource}+json;version="
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {len(raw)}",
        f"Content-Type: {kind}{'2.0' if resource in ('services', 'fxQuotes', 'fxTransfers') else '1.1'}",
        f"Accept: {kind}1",
        f"Date: {http_date(datetime.now(UTC))}",
        "FSPIOP-Source: Hub",
        "FSPIOP-Destination: green",
    ]
    reader, writer = await asyncio.open_connection("localhost", port)
    writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return int(answer.split(b" ", 2)[1]), f"{method} {path[:60]} ".encode() + answer[-200:]
