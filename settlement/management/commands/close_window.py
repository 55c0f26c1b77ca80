"""manage.py close_window: closes the open settlement window, and opens the next window."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from fspiop.errors import FspiopError
from settlement import services


class Command(BaseCommand):
    help = "Closes the open settlement window, and opens the next window. Does not close a window without a commit."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--reason", default="end of settlement period", help="stored with the window")
        parser.add_argument("--window", type=int, help="fail unless the window with this number is open")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = services.close_window(reason=options["reason"], actor="manage.py", window_id=options["window"])
        except FspiopError as error:
            raise CommandError(error.description) from None
        self.stdout.write(f"window {done.closed.pk} is closed, window {done.opened.pk} is open")
