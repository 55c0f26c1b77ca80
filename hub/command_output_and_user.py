"""Helps management commands. Finds the user who runs a command, reads times, and writes formatted text to the command's
output."""

import getpass
import os
from argparse import ArgumentTypeError
from datetime import datetime
from typing import IO, cast

from django.core.management.base import BaseCommand
from rich.console import Console

from hub.audit.program_change_requests import Waits


def console_of(command: BaseCommand) -> Console:
    """Returns a console that writes to the command's standard output, or to the stream of
    `call_command(stdout=...)`."""
    return Console(file=cast(IO[str], command.stdout))


def who() -> str:
    """Returns the user who runs the command, for the audit trail."""
    try:
        return f"manage.py ({getpass.getuser()})"
    except (KeyError, OSError):  # in a container, the operating system may have no user name for the user's id
        return f"manage.py (user {os.getuid()})"


def moment(text: str) -> datetime:
    """Reads the time in an argument of a command. argparse prints the text of an ArgumentTypeError; of a ValueError, it
    prints only the name of this function."""
    example = "for example 2026-12-01T00:00:00Z"
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a time: write a date, a time and a time zone, {example}") from None
    if found.tzinfo is None:
        raise ArgumentTypeError(f"'{text}' has no time zone: write a date, a time and a time zone, {example}")
    return found


def told(waits: Waits) -> str:
    """Returns the text that a command prints if its change waits for a second person."""
    approval = waits.approval
    until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"Request {approval.pk} submitted: {approval.kind}, {approval.subject}. The change takes effect when another"
        f" person approves the request before {until}: /portal/approvals/{approval.pk}/"
    )
