"""Calls the hub as a DFSP or an administrator does, through all of Django; each header can be changed or left out."""

import io
import json
from datetime import UTC, datetime
from typing import Any

from django.http import HttpResponse
from django.test import Client

from fspiop.time import http_date

ABSENT = None
_CLIENT = Client()  # one for all DFSPs: each new one loads the middleware anew


def dfsp(
    method: str,
    path: str,
    body: Any = None,
    *,
    source: str | None = "green",
    destination: str | None = None,
    version: str = "1.1",
    headers: dict[str, str | None] | None = None,
) -> HttpResponse:
    """One FSPIOP request; a bytes body goes as it is, anything else as JSON."""
    resource = path.strip("/").split("/")[0].split("?")[0]
    media_type = f"application/vnd.interoperability.{resource}+json"
    sent: dict[str, str | None] = {
        "date": http_date(datetime.now(UTC)),
        "fspiop-source": source,
        "fspiop-destination": destination,
        "accept": f"{media_type};version=1" if method in ("GET", "POST", "DELETE") else ABSENT,
        "content-type": f"{media_type};version={version}",
    }
    sent |= headers or {}
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    content_type = sent.pop("content-type") or ""
    chunked = {"wsgi.input": io.BytesIO(raw), "CONTENT_LENGTH": ""} if "transfer-encoding" in sent else {}
    return _CLIENT.generic(
        method,
        path,
        raw,
        content_type=content_type,
        headers={name: value for name, value in sent.items() if value is not None},
        CONTENT_TYPE=content_type,  # Django's client leaves it out where there is no body
        **chunked,
    )


def call(method: str, path: str, body: Any = None) -> HttpResponse:
    """One request as an administrator's tool makes it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
    return Client().generic(method, path, raw, content_type="application/json")


def admin(method: str, path: str, body: Any = None) -> HttpResponse:
    """One request to the administration API."""
    return call(method, f"/api/ledger/v1{path}", body)


def error_of(response: HttpResponse) -> tuple[int, str]:
    """(HTTP status, error code) of a refusal in the API's own form."""
    information = json.loads(response.content)["errorInformation"]
    assert 1 <= len(information["errorDescription"]) <= 128
    return response.status_code, information["errorCode"]


def description_of(response: HttpResponse) -> str:
    text: str = json.loads(response.content)["errorInformation"]["errorDescription"]
    return text
