"""schemathesis over our own OpenAPI documents against a running hub: no answer may be a server error.

    make fuzz URL=http://127.0.0.1:8000 ARGS="--examples 300"

A good half of the DFSPs' requests are right messages about a small scheme that this makes on the hub, or right but
for a field or two; the rest is what schemathesis thinks of. With --signed all that has a body, and each DELETE, is
signed, a share of it badly. It has an environment of its own, since its pins are not the hub's: requirements-fuzz.txt.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from fspiop import jws
from fspiop.time import http_date
from tests.protocol.fuzz_world import DFSPS, POSTS, Sent, open_sink, provision, right_message

APIS = ("fspiop", "dfsp", "ledger", "directory", "settlement")
_RIGHT_HEADERS, _RIGHT_PATH, _RIGHT_BODY, _SPOILT_BODY = 0.95, 0.85, 0.4, 0.35  # shares of the requests
_BAD_SIGNATURE, _WRONG_SIDE = 0.1, 0.1
_MEANT = frozenset({501, 503})
_NOT_SENT = (UnicodeError, ValueError, requests.exceptions.RequestException)


def headers_for(path: str, media_type: str, method: str, source: str, destination: str) -> dict[str, str]:
    resource = path.strip("/").split("/")[0]
    form = "iso20022." if "iso20022" in media_type else ""
    version = "2.0" if form or resource.startswith(("fx", "services")) else "1.1"
    kind = f"application/vnd.interoperability.{form}{resource}+json"
    headers = {
        "Date": http_date(datetime.now(UTC)),
        "FSPIOP-Source": source,
        "FSPIOP-Destination": destination,
        "Content-Type": f"{kind};version={version}",
    }
    # A callback has none; "*/*" is what the client library would send of its own accord.
    return headers | {"Accept": "*/*" if method in ("PUT", "PATCH") else f"{kind};version={version[0]}"}


def is_fault(response: Any) -> bool:
    """A server error that is none of those the API means: a limit that was set already is one (code 2001)."""
    return response.status_code >= 500 and response.status_code not in _MEANT and "already set" not in response.text


def make_right(case: Any, sent: Sent) -> None:
    """Makes most of a generated request right: headers and path, and the body or all but a few of its fields."""
    method, media_type = case.method.upper(), case.media_type or ""
    parameters, body, source, destination = right_message(method, case.path, sent)
    if random.random() < _WRONG_SIDE:
        source = random.choice((*DFSPS, "nobody"))
    case.headers.update(headers_for(case.path, media_type, method, source, destination))
    case.headers.pop("FSPIOP-Signature", None)
    if random.random() < _RIGHT_PATH:
        case.path_parameters.update({k: v for k, v in parameters.items() if k in case.path_parameters})
    chance = random.random()
    if body is None or "iso20022" in media_type or chance > _RIGHT_BODY + _SPOILT_BODY:
        return
    if chance > _RIGHT_BODY and isinstance(case.body, dict) and case.body:
        for name in random.sample(sorted(case.body), min(len(case.body), random.choice((1, 1, 2)))):
            body[name] = case.body[name]
    case.body = body


def sign(request: requests.PreparedRequest, keys: dict[str, Any]) -> None:
    """Signs what goes out (API Signature v1.1, section 3); now and then something else."""
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    source = str(request.headers.get("FSPIOP-Source"))
    if source not in keys or not (body or request.method == "DELETE"):
        return
    method, uri = str(request.method), request.path_url
    is_bad = random.random() < _BAD_SIGNATURE
    signature = jws.sign(
        body + b" " if is_bad else body,
        key=keys[source],
        method=method,
        uri=uri,
        source=source,
        destination=request.headers.get("FSPIOP-Destination"),
        date=request.headers.get("Date"),
    )
    if is_bad and random.random() < 0.5:  # no JSON, no base64, or another octet
        at = random.randrange(len(signature))
        signature = signature[:at] + random.choice('"}{A=-\\') + signature[at + 1 :]
    request.headers.update({"FSPIOP-Signature": signature, "FSPIOP-URI": uri, "FSPIOP-HTTP-Method": method})


@dataclass
class Found:
    counts: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@dataclass
class Share:
    """What one process sends: every operation of one document, so many times."""

    url: str
    api: str
    document: Any
    examples: int
    keys: Path | None
    seed: int

    def run(self) -> Found:
        random.seed(self.seed)
        found, sent, session = Found(), Sent(), requests.Session()
        keys = {n: jws.load_private_key((self.keys / n).read_bytes()) for n in DFSPS} if self.keys else {}

        def send(case: Any) -> None:
            if self.api == "fspiop" and random.random() < _RIGHT_HEADERS:
                make_right(case, sent)
            elif self.api == "dfsp" and random.random() < _RIGHT_HEADERS:
                headers = {"Date": http_date(datetime.now(UTC)), "FSPIOP-Source": random.choice(DFSPS)}
                case.headers.update(headers | {"Content-Type": "application/json"})
                case.headers.pop("FSPIOP-Signature", None)
            try:
                request = requests.Request(**case.as_transport_kwargs(base_url=self.url)).prepare()
                if keys:
                    sign(request, keys)
                response = session.send(request, timeout=60)
            except _NOT_SENT as error:
                found.counts[self.api, f"not sent: {type(error).__name__}", 0] += 1
                return
            found.counts[self.api, case.method.upper(), response.status_code] += 1
            if response.status_code == 202 and case.path.strip("/") in POSTS:
                sent.keep(case.path.strip("/"), case.body)
            if is_fault(response):
                found.faults.append(f"{response.status_code} {case.method} {request.path_url} {case.body!r:.300}")

        operations = [o.ok() for o in schemathesis.openapi.from_dict(self.document).get_all_operations()]
        # What is asked for first, so that there is something to answer.
        for operation in sorted(operations, key=lambda o: o.method.upper() != "POST"):
            attack(operation, self.examples, send, self.seed)
        return found


def attack(operation: Any, examples: int, send: Callable[[Any], None], seed: int) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def one(case: Any) -> None:
        state = random.getstate()  # Hypothesis seeds this too, always alike
        random.setstate(one_state[0])
        try:
            send(case)
        finally:
            one_state[0] = random.getstate()
            random.setstate(state)

    one_state = [random.Random(f"{seed} {operation.label}").getstate()]
    one()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--examples", type=int, default=100, help="requests of each operation and process")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--signed", action="store_true", help="sign what goes out: for a hub with SIGNATURES=required")
    parser.add_argument("--api", action="append", choices=APIS, help="only this document; may be repeated")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    asked = parser.parse_args()
    began, total = time.monotonic(), Found()
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(asked.processes, mp_context=get_context("spawn")) as pool,
    ):
        provision(asked.url, open_sink(), Path(folder))
        for api in asked.api or APIS:
            document = requests.get(f"{asked.url}/docs/schema/{api}?format=json", timeout=60).json()
            keys = Path(folder) if asked.signed else None
            shares = [
                Share(asked.url, api, document, asked.examples, keys, asked.seed + number)
                for number in range(asked.processes)
            ]
            for found in pool.map(Share.run, shares):
                total.counts.update(found.counts)
                total.faults.extend(found.faults)
            show(api, total, time.monotonic() - began)
    print("\n".join(total.faults[:40]))
    print(f"seed {asked.seed}: {requests_in(total)} requests, {len(total.faults)} server errors")
    sys.exit(bool(total.faults) or not requests_in(total))


def requests_in(found: Found) -> int:
    return sum(count for (_, _, status), count in found.counts.items() if status)


def show(api: str, found: Found, seconds: float) -> None:
    for (of, method, status), count in sorted(found.counts.items()):
        if of == api:
            print(f"{api:12} {method:10} {status or '':>4} {count:8}")
    print(f"{requests_in(found)} requests, {len(found.faults)} server errors after {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
