"""schemathesis over our own OpenAPI documents against a running hub: no answer may be a server error.

    make fuzz URL=http://127.0.0.1:8000 ARGS="--examples 200"

It has an environment of its own, since its pins are not the hub's: requirements-fuzz.txt.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings

from fspiop.time import http_date

APIS = ("fspiop", "ledger", "directory", "settlement")
SOURCES = ("greenbank", "bluewallet", "Hub", "nobody")
_RIGHT = 0.9  # of the requests have headers that let their path and body be reached
_MEANT = frozenset({501, 503})
_NOT_SENT = (UnicodeError, ValueError, requests.exceptions.RequestException)


def headers_for(path: str, media_type: str) -> dict[str, str]:
    resource = path.strip("/").split("/")[0]
    form = "iso20022." if "iso20022" in media_type else ""
    version = "2.0" if form or resource.startswith(("fx", "services")) else "1.1"
    kind = f"application/vnd.interoperability.{form}{resource}+json"
    return {
        "Date": http_date(datetime.now(UTC)),
        "FSPIOP-Source": random.choice(SOURCES),
        "FSPIOP-Destination": random.choice(SOURCES),
        "Content-Type": f"{kind};version={version}",
        "Accept": f"{kind};version={version[0]}",
    }


def is_fault(response: Any) -> bool:
    """A server error that is none of those the API means: a limit that was set already is one (code 2001)."""
    return response.status_code >= 500 and response.status_code not in _MEANT and "already set" not in response.text


def attack(operation: Any, api: str, examples: int, send: Callable[[Any], None]) -> None:
    @given(case=operation.as_strategy())
    @settings(
        max_examples=examples,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    def one(case: Any) -> None:
        if api == "fspiop" and random.random() < _RIGHT:
            case.headers.update(headers_for(case.path, case.media_type or ""))
        send(case)

    one()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--examples", type=int, default=200)
    arguments = parser.parse_args()
    counts: Counter[tuple[str, int]] = Counter()
    faults: list[str] = []
    session = requests.Session()
    for api in APIS:
        document = session.get(f"{arguments.url}/docs/schema/{api}?format=json", timeout=60).json()

        def send(case: Any, api: str = api) -> None:
            try:
                response = case.call(base_url=arguments.url, session=session)
            except _NOT_SENT:
                counts[api, 0] += 1
                return
            counts[api, response.status_code] += 1
            if is_fault(response):
                faults.append(f"{response.status_code} {case.method} {case.formatted_path} {case.body!r:.300}")

        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            attack(found.ok(), api, arguments.examples, send)
    for (api, status), count in sorted(counts.items()):
        print(f"{api:12} {status or 'not sent':>8} {count:8}")
    print("\n".join(faults[:40]))
    print(f"{sum(counts.values())} requests, {len(faults)} server errors")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
