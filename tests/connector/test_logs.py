"""Logs: a JSON object per line, without local variables, secrets and phone numbers."""

import json
import subprocess
import sys

import pytest

from kitovu_connector import logs
from kitovu_connector.tokens import _Granted

PROGRAM = """
import logging
import structlog
from kitovu_connector import logs
from kitovu_connector.background import _guarded
import asyncio

logs.configure("INFO")

async def pay(secret: str, number: str) -> None:
    raise KeyError(number)

def main() -> None:
    secret = "SECRET" + "SECRET"
    asyncio.run(_guarded(pay(secret, "255712001001")))
    try:
        raise ValueError("no customer +255712001001")
    except ValueError:
        structlog.get_logger("mine").exception("failed", who="call 255712001001")
        logging.getLogger("aiohttp.server").exception("Error handling request of %s", "255712001001")
    structlog.get_logger("mine").info("ended", transfer="12345678-ee48-4575-b6a9-295580690000", at=1234567890.5)
    structlog.get_logger("mine").debug("hidden")

main()
"""


def test_a_line_is_json_and_shows_no_secret_and_no_number() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in lines] == [
        "step_failed",
        "failed",
        "Error handling request of <number>",
        "ended",
    ]
    assert done.stdout == ""
    assert "255712001001" not in done.stderr
    assert "SECRETSECRET" not in done.stderr
    assert "KeyError: '<number>'" in lines[0]["error"]
    assert "no customer <number>" in lines[1]["exception"]
    assert lines[3]["transfer"] == "12345678-ee48-4575-b6a9-295580690000"
    assert all({"level", "timestamp", "logger"} <= line.keys() for line in lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("255712001001", "<number>"),
        ("call +255712001001, now", "call <number>, now"),
        ("'255712001001'", "'<number>'"),
        ("/parties/MSISDN/255712001001", "/parties/MSISDN/<number>"),
        ("12345678-ee48-4575-b6a9-295580690000", "12345678-ee48-4575-b6a9-295580690000"),
        ("code 3100 of 65536", "code 3100 of 65536"),
    ],
)
def test_numbers_are_hidden_and_ids_are_not(text: str, shown: str) -> None:
    assert logs.without_numbers(text) == shown


def test_a_token_has_no_repr() -> None:
    assert "SECRET" not in repr(_Granted("SECRET", 60))
