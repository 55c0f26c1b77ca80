"""manage.py settle: creates a settlement of closed windows, moves a settlement to a state, or aborts a settlement."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.table import Table

from fspiop.errors import FspiopError
from fspiop.money import format_amount
from hub.audit import program_change_requests
from hub.command_output_and_user import console_of, told, who
from ledger.queries import value_of
from settlement import change_request_terms, queries, services
from settlement.decide import Answer
from settlement.models import Settlement
from settlement.states import STEPS, State

ACTOR = "manage.py"


class Command(BaseCommand):
    help = "Settles closed windows: moves every account step by step to --to. Exits with 1 if a step is refused."

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--model", help="create a new settlement under this model")
        which.add_argument("--id", type=int, help="continue this settlement")
        parser.add_argument(
            "--window", type=int, action="append", help="with --model: this window (default: all unsettled windows)"
        )
        parser.add_argument(
            "--to",
            choices=[*(step.value for step in STEPS), State.ABORTED.value],
            default=State.PS_TRANSFERS_COMMITTED.value,
            help="the state to reach (default: %(default)s, which resets positions; SETTLED when the bank has paid)",
        )
        parser.add_argument("--reason", default="end of settlement period", help="stored with each step")
        parser.add_argument(
            "--without-statement",
            default="",
            metavar="WHY",
            help="with --to SETTLED, if a second person must approve it: why there is no bank statement",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            number = options["id"] or self._create(options["model"], options["window"], options["reason"])
            self._needs_two(number, State(options["to"]), options["reason"], options["without_statement"])
            refused = self._take_on(number, State(options["to"]), options["reason"])
        except program_change_requests.Waits as waits:
            self.stdout.write(told(waits))
            return
        except FspiopError as error:
            raise CommandError(error.description) from None
        self._show(Settlement.objects.get(pk=number), refused)
        if refused:
            raise CommandError(
                f"{len(refused)} accounts were refused; solve the problems above and continue with --id {number}"
            )

    def _create(self, model: str, windows: list[int] | None, reason: str) -> int:
        chosen = windows or queries.windows_waiting_for(model)
        if not chosen:
            raise CommandError(f"no closed window has amounts to settle under {model}")
        made = services.create(model_name=model, window_ids=chosen, reason=reason, actor=ACTOR)
        number: int = made.pk
        return number

    def _needs_two(self, number: int, to: State, reason: str, because: str) -> None:
        """Raises Waits if a second person must approve the change or abort of a settlement."""
        kind = "abort_settlement" if to == State.ABORTED else "advance_settlement"
        try:
            program_change_requests.ask_where_needed(
                kind,
                program=program_change_requests.Program(who()),
                subject=f"settlement {number}",
                payload=lambda: change_request_terms.terms(queries.settlement(number), to.value, reason, because),
                reason=reason,
            )
        except FspiopError as error:
            raise CommandError(f"{error.description}; continue with --id {number}") from None

    def _take_on(self, number: int, to: State, reason: str) -> list[Answer]:
        if to == State.ABORTED:
            services.abort(number, reason=reason, actor=ACTOR)
            return []
        return services.advance(number, to=to, reason=reason, actor=ACTOR)

    def _show(self, settlement: Settlement, refused: list[Answer]) -> None:
        why = {answer.wish.account_id: answer.refusal.value[1] for answer in refused if answer.refusal}
        windows = sorted({content.window_id for content in settlement.contents.all()})
        table = Table(
            title=f"Settlement {settlement.pk}, {settlement.state}, of windows {', '.join(map(str, windows))}",
            caption="net above 0: the participant owes; net below 0: the participant is owed",
        )
        for heading in ("participant", "currency", "state"):
            table.add_column(heading)
        for heading in ("net", "position now"):
            table.add_column(heading, justify="right")
        for row in settlement.accounts.select_related("account__participant").order_by("account__currency", "id"):
            state = f"{row.state}: {why[row.account_id]}" if row.account_id in why else row.state
            amounts = (int(row.net), value_of(row.account))
            table.add_row(
                row.account.participant.name,
                row.account.currency,
                state,
                *(format_amount(amount) for amount in amounts),
            )
        console_of(self).print(table)
