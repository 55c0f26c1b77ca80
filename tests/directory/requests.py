"""Asking and registering as DFSPs do, and what they are told by callback."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg
from django.test import override_settings

from hub.outbox.models import Message
from tests.api.caller import dfsp


def last_callback() -> tuple[str, str, dict[str, Any]]:
    """(to whom, path, body) of what the hub said last."""
    message = Message.objects.select_related("destination").latest("created_at", "id")
    return message.destination.name, message.path, json.loads(bytes(message.body) or b"{}")


def register(path: str, fsp: str, **more: Any) -> None:
    assert dfsp("POST", f"/participants/{path}", {"fspId": fsp} | more, source=fsp).status_code == 202


def look_up(path: str) -> None:
    """Blue asks for a customer of green's, so that green may answer."""
    with override_settings(SIGNATURES="ignored"):
        register(path.removeprefix("/parties/"), "green")
        assert dfsp("GET", path, source="blue").status_code == 202


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


@contextmanager
def counted_statements() -> Iterator[list[str]]:
    """What is sent to PostgreSQL meanwhile, Django's and the set-based alike; savepoints apart."""
    sent: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(self: psycopg.Cursor, query: Any, *args: Any, **kwargs: Any) -> Any:
        if "SAVEPOINT" not in str(query):
            sent.append(str(query))
        return execute(self, query, *args, **kwargs)

    with patch.object(psycopg.Cursor, "execute", counted):
        yield sent
