"""manage.py certify NAME ...: certifies DFSPs, shows the progress, and writes the signed reports."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import translation
from rich.console import Console
from rich.live import Live
from rich.table import Table

from hub.participants.models import Participant
from portal.certification import certifying_process, instructions, pdf, report, starting_and_ending_runs
from portal.certification.cases import BY_NAME, CASES
from portal.certification.faults import texts
from portal.certification.models import Certification, CertificationCase
from portal.certification.options import UNKNOWN, Options
from portal.certification.questions_in_terminal import Question, Questions

Verdict = CertificationCase.Verdict
_STYLES = {Verdict.PASSED: "green", Verdict.FAILED: "red", Verdict.NOT_JUDGED: "yellow", Verdict.LEFT_OUT: "dim"}
_WAITS_S = 600.0
ACTOR = "manage.py certify"


@contextmanager
def _paused(live: Live) -> Iterator[None]:
    """Removes the table from the terminal while a person types."""
    live.stop()
    try:
        yield
    finally:
        live.start()


class Command(BaseCommand):
    help = "Certifies DFSPs by scripted cases in the test currency, and writes signed reports (JSON and PDF)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="the DFSPs' participant names")
        parser.add_argument("--payee", default="", help="the DFSP's test customer: TYPE/ID, or an MSISDN")
        parser.add_argument("--unknown", default=UNKNOWN, help="an identifier of the same type that nobody has")
        parser.add_argument(
            "--outbound",
            action="append",
            default=[],
            help="URL of the connector's outbound API, for each name. Without a URL, people make the payments",
        )
        parser.add_argument(
            "--sdk-outbound",
            action="append",
            default=[],
            metavar="URL",
            help="URL of an API with the calls /bulkQuotes and /bulkTransfers of Mojaloop's SDK, for each name",
        )
        parser.add_argument("--leave-out", action="append", default=[], metavar="CASE", choices=sorted(BY_NAME))
        parser.add_argument("--patience", type=float, default=600.0, help="seconds that people have for a payment")
        parser.add_argument("--answer-time", type=float, default=10.0, help="seconds that the DFSP has for an answer")
        parser.add_argument("--reports", type=Path, help="folder for NAME.json and NAME.pdf")
        parser.add_argument(
            "--waiting", action="store_true", help="runs the certifications that people requested in the portal"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with translation.override("en"):
            self._handle(options)

    def _handle(self, options: dict[str, Any]) -> None:
        if options["waiting"]:
            waiting = Certification.objects.filter(state=Certification.State.WAITING).order_by("pk")
            certifying_process.run(list(waiting.select_related("participant")))
            return
        if not options["names"]:
            raise CommandError("Name at least one DFSP.")
        outbound, sdk = (self._for_each_name(option, options) for option in ("outbound", "sdk_outbound"))
        each = zip(options["names"], outbound, sdk, strict=True)
        asked = [self._ask(name, url, sdk_url, options) for name, url, sdk_url in each]
        console = Console(soft_wrap=True, highlight=False)
        self._run(asked, console)
        is_passed = True
        for certification in asked:
            self._wait(certification)
            is_passed = self._show(certification, console) and is_passed
            if options["reports"] and certification.report:
                self._write(certification, options["reports"], console)
        if not is_passed:
            raise CommandError("Not certified.")

    @staticmethod
    def _for_each_name(option: str, options: dict[str, Any]) -> list[str]:
        given: list[str] = options[option]
        if len(given) not in (0, len(options["names"])):
            raise CommandError(f"Give --{option.replace('_', '-')} for each name, or not at all.")
        return given or [""] * len(options["names"])

    def _ask(self, name: str, outbound: str, sdk_outbound: str, options: dict[str, Any]) -> Certification:
        participant = Participant.objects.filter(name=name).first()
        if participant is None:
            raise CommandError(f"There is no participant {name}.")
        payee_type, _, payee = options["payee"].rpartition("/")
        if not payee:
            raise CommandError("--payee: name the DFSP's test customer, who has an account in XTS.")
        values = Options(
            payee=payee,
            payee_type=payee_type or "MSISDN",
            unknown=options["unknown"],
            outbound=outbound,
            sdk_outbound=sdk_outbound,
            left_out=tuple(options["leave_out"]),
            patience_s=options["patience"],
            answer_s=options["answer_time"],
        )
        try:
            return starting_and_ending_runs.ask(participant, values, asked_by=ACTOR)
        except starting_and_ending_runs.NotStarted as error:
            raise CommandError(str(error)) from None

    def _run(self, asked: list[Certification], console: Console) -> None:
        verdicts: dict[tuple[str, str], str] = {}
        began, end = time.monotonic(), time.monotonic() + _WAITS_S

        def shown() -> Table:
            table = Table("case", *(each.participant.name for each in asked), title=f"{time.monotonic() - began:.0f} s")
            for case in CASES:
                cells = [verdicts.get((each.participant.name, case.name), "…") for each in asked]
                table.add_row(
                    case.name, *(f"[{_STYLES.get(Verdict(c), '')}]{c}[/]" if c in Verdict else c for c in cells)
                )
            return table

        by_name = {each.participant.name: each for each in asked}

        def say(text: str) -> None:
            live.console.print(text, markup=False)

        with (
            Live(get_renderable=shown, console=console, refresh_per_second=4, transient=True) as live,
            Questions(say, lambda: _paused(live), actor=ACTOR) as questions,
        ):

            def tell(case: str, verdict: str, values: dict[str, Any]) -> None:
                if verdict != "INSTRUCTION":
                    verdicts[values["dfsp"], case] = verdict
                    return
                words = instructions.in_words(values["what"], values["values"])
                text = f"{values['dfsp']}: {case}: {words}"
                if values["what"] == "outcome":
                    questions.ask(Question(by_name[values["dfsp"]], case, text))
                else:
                    say(text)

            while not certifying_process.run(asked, tell):
                if time.monotonic() > end:
                    raise CommandError("Another process certifies; try again later.")
                time.sleep(1)

    @staticmethod
    def _wait(certification: Certification) -> None:
        """Waits until the certification has ended. A worker may have started the certification before this command
        could start the certification."""
        certification.refresh_from_db()
        while certification.is_open:
            time.sleep(1)
            certification.refresh_from_db()

    @staticmethod
    def _show(certification: Certification, console: Console) -> bool:
        """Prints the faults. Returns whether the DFSP passed."""
        name = certification.participant.name
        for case in certification.cases.exclude(verdict=Verdict.PASSED):
            for each in case.faults:
                wrong, mend = texts(each)
                style = _STYLES.get(Verdict(case.verdict), "")
                console.print(f"[{style}]{name}: {case.name}: {case.verdict}[/]", soft_wrap=True)
                console.print(f"    {wrong}\n    {mend}", markup=False, soft_wrap=True)
        state = certification.state
        console.print(f"{name}: {state} {certification.fault}".rstrip(), style="bold", markup=False)
        return state == Certification.State.PASSED

    @staticmethod
    def _write(certification: Certification, folder: Path, console: Console) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        name = certification.participant.name
        (folder / f"{name}.json").write_text(report.file_of(certification), encoding="utf-8")
        (folder / f"{name}.pdf").write_bytes(pdf.document(certification))
        console.print(f"{folder / name}.json, .pdf", markup=False)
