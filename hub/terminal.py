"""Rich output of management commands, through the stream that Django gives them."""

from typing import IO, cast

from django.core.management.base import BaseCommand
from rich.console import Console


def console_of(command: BaseCommand) -> Console:
    """A console on the command's standard output, whatever `call_command(stdout=...)` made it."""
    return Console(file=cast(IO[str], command.stdout))
