"""The common code of all commands: the configuration, the two consoles, and requests to the connector or the hub."""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from rich.console import Console

from fspiop import time as fsptime
from kitovu_connector import key_files, logs
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config, load
from kitovu_connector.hub_api import HubApi
from kitovu_connector.running_connector_client import CoreRequests

T = TypeVar("T")

CONFIG = "connector.toml"
FAILED, MISUSED = 1, 2

_WIDTH_OF_A_FILE = 200

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
err = Console(stderr=True, highlight=False, soft_wrap=True)

Run = Callable[[argparse.Namespace], int]
"""Carries out one command. Returns the exit status."""


class AddCommand(Protocol):
    """Adds a command to the parser."""

    def __call__(self, name: str, run: Run, text: str) -> argparse.ArgumentParser:
        """Returns the command's own parser. `text` is the command's help."""


class Misused(Exception):
    """The error for a misused command, with the reason as text."""


def config_of(asked: argparse.Namespace) -> Config:
    return load(config_file(asked), os.environ, {})


def config_file(asked: argparse.Namespace) -> Path | None:
    if asked.config is not None:
        found: Path = asked.config
        return found
    if name := os.environ.get("CONNECTOR_CONFIG"):
        return Path(name)
    if "CONNECTOR_DFSP" in os.environ:  # all settings are in the environment, as in a container
        return None
    if Path(CONFIG).exists():
        return Path(CONFIG)
    raise Misused(f"there is no {CONFIG} here: make one with `kitovu-connector init`, or name it with --config")


def with_connector(asked: argparse.Namespace, run: Callable[[CoreRequests], Awaitable[int]]) -> int:
    async def whole() -> int:
        async with CoreRequests(config_of(asked)) as connector:
            return await run(connector)

    return asyncio.run(whole())


async def ask_hub(config: Config, run: Callable[[HubApi], Awaitable[T]]) -> T:
    key_files.check_files(config)
    logs.configure("CRITICAL")
    async with HubClient(config) as client:
        return await run(HubApi(client))


def alias(text: str) -> dict[str, str]:
    parts = text.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise Misused(f"{text}: must be TYPE/VALUE, such as MSISDN/255655001001")
    return dict(zip(("idType", "idValue", "idSubValue"), parts, strict=False))


def moment_of(text: str) -> str:
    """Returns a time in the API's form. `text` is a time in this form, a day, or an age such as 30s, 15m, 2h, 7d."""
    units = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
    if text[:-1].isdecimal() and text[-1] in units:
        return fsptime.format_datetime(datetime.now(UTC) - timedelta(**{units[text[-1]]: int(text[:-1])}))
    try:
        return fsptime.format_datetime(fsptime.parse_datetime(text if "T" in text else f"{text}T00:00:00.000Z"))
    except ValueError:
        raise Misused(f"{text}: must be like 2026-01-31, 2026-01-31T08:00:00.000Z or 2h") from None


def text_of(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misused(f"{file} cannot be read: {error}") from None
