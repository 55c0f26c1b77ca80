"""Additional commands of `manage.py rules`. Other apps add these commands when the hub starts."""

from argparse import ArgumentParser
from typing import Any, Protocol

from rich.console import Console


class MoreCommand(Protocol):
    help: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the arguments of this command."""

    def run(self, console: Console, options: dict[str, Any]) -> int:
        """Runs the command, and returns the exit code. Raises RuleSetRefused for faulty rules."""


BY_NAME: dict[str, MoreCommand] = {}
