"""manage.py settlement_report: shows the amounts that participants owe or receive for a settlement window."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.table import Table

from fspiop.money import format_amount
from hub.command_output_and_user import console_of
from ledger.models import SettlementWindow
from settlement import window_nets


class Command(BaseCommand):
    help = "Shows each participant's net amount of a window (default: the last closed window)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--window", type=int, help="the window's number")
        parser.add_argument("--json", action="store_true", help="write JSON, with amounts in the API's form")

    def handle(self, *args: Any, **options: Any) -> None:
        window = _window(options["window"])
        nets = window_nets.of_window(window)
        if options["json"]:
            rows = [
                {
                    "participant": net.participant,
                    "currency": net.currency,
                    "sent": format_amount(net.sent),
                    "received": format_amount(net.received),
                    "net": format_amount(net.net),
                }
                for net in nets
            ]
            self.stdout.write(json.dumps({"window": window.pk, "state": window.state, "positions": rows}))
            return
        table = Table(title=f"Settlement window {window.pk}, {window.state}", caption="above 0: owes; below: is owed")
        for heading in ("participant", "currency"):
            table.add_column(heading)
        for heading in ("sent", "received", "net"):
            table.add_column(heading, justify="right")
        for net in nets:
            table.add_row(
                net.participant,
                net.currency,
                *(format_amount(amount) for amount in (net.sent, net.received, net.net)),
            )
        console_of(self).print(table)


def _window(number: int | None) -> SettlementWindow:
    windows = SettlementWindow.objects.all()
    found = (
        windows.filter(pk=number).first()
        if number is not None
        else windows.filter(closed_at__isnull=False).order_by("-id").first()
    )
    if found is None:
        raise CommandError("this window does not exist" if number else "no window has closed yet; see close_window")
    return found
