"""Asking and registering as DFSPs do, and what they are told by callback."""

import json
from typing import Any

from hub.outbox.models import Message
from tests.api.caller import dfsp


def last_callback() -> tuple[str, str, dict[str, Any]]:
    """(to whom, path, body) of what the hub said last."""
    message = Message.objects.select_related("destination").order_by("-id")[0]
    return message.destination.name, message.path, json.loads(bytes(message.body) or b"{}")


def register(path: str, fsp: str, **more: Any) -> None:
    assert dfsp("POST", f"/participants/{path}", {"fspId": fsp} | more, source=fsp).status_code == 202


def refusal() -> tuple[str, str, str]:
    """(path, code, description) of the error callback that the hub sent last."""
    _, path, body = last_callback()
    information = body["errorInformation"]
    return path, information["errorCode"], information["errorDescription"]


def owner(path: str, asker: str = "grey") -> str | None:
    """The fspId that GET /participants answers with; None where it answers with an error."""
    assert dfsp("GET", f"/participants/{path}", source=asker).status_code == 202
    to, _, body = last_callback()
    assert to == asker
    return body.get("fspId")
