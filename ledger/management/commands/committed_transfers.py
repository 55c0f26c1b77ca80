"""manage.py committed_transfers: lists committed transfers, for comparison with the participants' own books."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from fspiop.money import format_amount
from ledger import queries


class Command(BaseCommand):
    help = "Lists the committed transfers. Amounts are in currency units, or with --json in ten-thousandths."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="a JSON array")
        parser.add_argument("--between", nargs="+", default=[], metavar="NAME", help="only these participants")

    def handle(self, *args: Any, **options: Any) -> None:
        transfers = queries.committed_transfers(options["between"])
        if options["json"]:
            self.stdout.write(json.dumps(list(transfers)))
            return
        for transfer in transfers:
            self.stdout.write(
                f"{transfer['transferId']}  {transfer['payer']} -> {transfer['payee']}  "
                f"{format_amount(transfer['amount'])} {transfer['currency']}  window {transfer['window']}"
            )
