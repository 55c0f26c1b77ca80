"""JSON over HTTP for the demo, with the standard library. If a request gets no response, this module can repeat the
request."""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from hub.local.errors import LocalError


def call(method: str, url: str, body: object = None, *, timeout_s: float = 90.0) -> tuple[int, Any]:
    """Sends one HTTP request and returns (status, parsed body). Raises OSError or HTTPException if there is no
    response."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
    try:
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        raw = json.dumps(body) if body is not None else None
        connection.request(method, path, raw, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
        return response.status, json.loads(text) if text else None
    finally:
        connection.close()


def call_until_answered(method: str, url: str, body: object = None, *, seconds: float = 60.0) -> tuple[int, Any]:
    """Sends an HTTP request repeatedly until the response has a status below 500. Use this function only for requests
    that can be repeated without a second effect."""
    end = time.monotonic() + seconds
    while True:
        try:
            status, answer = call(method, url, body)
            if status < 500:
                return status, answer
            why = f"HTTP {status}: {answer}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"{type(error).__name__}: {error}"
        if time.monotonic() > end:
            raise LocalError(f"No response to {method} {url}: {why}", where=url, do="See the logs in STATE/logs.")
        time.sleep(0.5)
