"""Management commands: who runs one, what they print, and rich output through the stream that Django gives them."""

import getpass
import os
from typing import IO, cast

from django.core.management.base import BaseCommand
from rich.console import Console

from hub.audit.two_people import Waits


def console_of(command: BaseCommand) -> Console:
    """A console on the command's standard output, whatever `call_command(stdout=...)` made it."""
    return Console(file=cast(IO[str], command.stdout))


def who() -> str:
    """Who runs a command, for the audit trail."""
    try:
        return f"manage.py ({getpass.getuser()})"
    except (KeyError, OSError):  # a container's user may have no name
        return f"manage.py (user {os.getuid()})"


def told(waits: Waits) -> str:
    """What a command prints whose change waits for a second person."""
    approval = waits.approval
    until = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"Request {approval.pk} submitted ({approval.kind}, {approval.subject}). It takes effect once a person approves"
        f" it, before {until}: /portal/approvals/{approval.pk}/"
    )
