"""Closing the open settlement window, as an operator does, while everything else goes on."""

import json
import urllib.request
from urllib.error import HTTPError


def close_window(hub_url: str, *, timeout_s: float = 20.0) -> bool:
    """Whether a window was closed; False where the hub would not, as for an empty one."""
    base = f"{hub_url}/api/settlement/v2/settlementWindows"
    with urllib.request.urlopen(f"{base}?state=OPEN", timeout=20) as answer:
        (window,) = json.loads(answer.read())
    request = urllib.request.Request(
        f"{base}/{window['settlementWindowId']}",
        method="POST",
        data=json.dumps({"state": "CLOSED", "reason": "chaos"}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return bool(answer.status < 300)
    except HTTPError:
        return False
