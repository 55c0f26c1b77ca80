"""The report of a certification as PDF, for people. The signed JSON is the proof, and the PDF contains the JWS of this
JSON."""

import hashlib
import json
from datetime import datetime
from typing import Any

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from portal.certification.models import Certification, CertificationCase

Verdict = CertificationCase.Verdict
_COLOURS = {
    Verdict.PASSED.value: (22, 101, 52),
    Verdict.FAILED.value: (153, 27, 27),
    Verdict.NOT_JUDGED.value: (146, 64, 14),
    Verdict.LEFT_OUT.value: (82, 82, 91),
}
_BLACK = (24, 24, 27)
_MOST_MESSAGES = 12
_MARGIN = 18


class _Document(FPDF):
    def __init__(self, footer: str) -> None:
        super().__init__(format="A4")
        self._footer = footer
        self.set_margins(_MARGIN, _MARGIN)
        self.set_auto_page_break(auto=True, margin=_MARGIN)

    def footer(self) -> None:
        self.set_y(-12)
        self.set_font("Helvetica", size=7)
        self.set_text_color(*_BLACK)
        self.cell(0, 5, f"{self._footer}    {self.page_no()}/{{nb}}", align="C")

    def line_of(self, text: str, *, size: float = 9, bold: bool = False, colour: tuple[int, int, int] = _BLACK) -> None:
        self.set_font("Helvetica", style="B" if bold else "", size=size)
        self.set_text_color(*colour)
        self.multi_cell(0, size * 0.48, _plain(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def code(self, text: str, *, size: float = 6.5) -> None:
        self.set_font("Courier", size=size)
        self.set_text_color(*_BLACK)
        self.multi_cell(0, size * 0.45, _plain(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _plain(text: str) -> str:
    """Returns the text with only the characters of the PDF's own fonts (Windows-1252). Other characters become "?"."""
    return text.replace("\t", "    ").encode("cp1252", "replace").decode("latin-1").replace("\x85", "...")


def document(certification: Certification) -> bytes:
    """Returns the PDF of a judged certification. The content is always the same for the same certification."""
    report: dict[str, Any] = json.loads(certification.report)
    digest = hashlib.sha256(certification.report.encode()).hexdigest()
    page = _Document(f"{report['hub']}: certification {report['certification']} of {report['dfsp']}")
    page.set_creation_date(certification.ended_at or datetime.fromisoformat(report["endedAt"]))
    page.set_title(f"Certification {report['certification']} of {report['dfsp']}")
    page.add_page()
    page.line_of(f"Certification of {report['dfsp']}", size=18, bold=True)
    page.ln(2)
    page.line_of(f"Result: {report['result']}", size=13, bold=True, colour=_COLOURS.get(report["result"], _BLACK))
    page.ln(2)
    page.line_of(f"Hub {report['hub']}, certification {report['certification']}, requested by {report['askedBy']}")
    page.line_of(f"From {report['startedAt']} to {report['endedAt']}")
    page.line_of(f"SHA-256 of the signed JSON report: {digest}")
    page.line_of(
        "Signed with the hub's key." if certification.signature else "Not signed: this hub has no signing key."
    )
    page.ln(3)
    _overview(page, report["cases"])
    for case in report["cases"]:
        _case(page, case)
    if certification.signature:
        page.add_page()
        page.line_of("JWS of the JSON report: its header and signature (RFC 7515)", bold=True)
        header, _, rest = certification.signature.partition(".")
        page.code(f"{header}..{rest.rpartition('.')[2]}")
    return bytes(page.output())


def _overview(page: _Document, cases: list[dict[str, Any]]) -> None:
    for case in cases:
        page.set_font("Helvetica", size=8.5)
        page.set_text_color(*_BLACK)
        page.cell(122, 4.6, _plain(f"{case['name']}: {case['title']}"))
        page.set_font("Helvetica", style="B", size=8.5)
        page.set_text_color(*_COLOURS.get(case["verdict"], _BLACK))
        page.cell(0, 4.6, case["verdict"].replace("_", " ").capitalize(), new_x=XPos.LMARGIN, new_y=YPos.NEXT)


def _case(page: _Document, case: dict[str, Any]) -> None:
    page.ln(4)
    page.line_of(f"{case['title']} ({case['name']})", size=11, bold=True)
    verdict = case["verdict"].replace("_", " ").capitalize()
    page.line_of(verdict, bold=True, colour=_COLOURS.get(case["verdict"], _BLACK))
    page.line_of(f"Expected: {case['expected']}")
    for fault in case["faults"]:
        page.line_of(f"{fault['wrong']} {fault['mend']}", colour=_COLOURS.get(case["verdict"], _BLACK))
    if reported := case.get("reportedByHand"):
        page.line_of(f"{reported['by']} reported that the DFSP shows the payment as {reported['state']}.")
    for message in case["messages"][:_MOST_MESSAGES]:
        moment = datetime.fromtimestamp(message["at"]).astimezone().isoformat(timespec="milliseconds")
        way = " (directly)" if message["way"] == "direct" else ""
        sender = message["sender"] or "hub"
        head = f"{moment}  {sender} > {message['recipient']}{way}: {message['method']} {message['path']}"
        page.code(f"{head}: {message['status']} {message['answer']}")
        if message["body"]:
            page.code(message["body"][:600], size=5.5)
