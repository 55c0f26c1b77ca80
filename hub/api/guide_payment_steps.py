"""The steps of a payment, for the integrator's guide."""

import json
from dataclasses import dataclass

from fspiop import versions
from hub.api.fspiop_examples import DATE, EXAMPLES, PAYEE, PAYER, QUOTE_ID, TRANSFER_ID

_PARTY = "/parties/MSISDN/255655001001"


@dataclass(frozen=True, slots=True)
class Step:
    """A message that one DFSP sends to the other through the hub. `y` is the message's vertical position in the
    drawing."""

    title: str
    text: str
    method: str
    path: str
    is_from_payer: bool
    message: str
    y: int

    @property
    def short(self) -> str:
        """Returns the path, but shortens a long id."""
        return self.path if len(self.path) < 34 else f"{self.path[:20]}…"

    @property
    def y_on(self) -> int:
        """The vertical position, in the drawing, of the hub's forwarded message to the receiver."""
        return self.y + 8


_STEPS = (
    (
        "1. Who is the payee?",
        "The payer DFSP looks up the alias. The hub finds the DFSP that serves the alias, and forwards the lookup.",
        ("get", "/parties/{id_type}/{identifier}", _PARTY, True),
    ),
    (
        "2. The payee DFSP answers",
        "The payer DFSP shows the payee's name to the payer. If the alias is unknown, PUT …/error comes instead.",
        ("put", "/parties/{id_type}/{identifier}", _PARTY, False),
    ),
    (
        "3. What are the terms?",
        "The payer DFSP requests terms: the fees of the payment, and the condition of the transfer.",
        ("post", "/quotes", "/quotes", True),
    ),
    (
        "4. The payee DFSP gives its terms",
        "The payer confirms the terms. The condition is the SHA-256 of a fulfilment that only the payee DFSP can make.",
        ("put", "/quotes/{quote_id}", f"/quotes/{QUOTE_ID}", False),
    ),
    (
        "5. Reserve",
        "The hub reserves the amount on the payer DFSP's position, and then forwards the transfer. The transfer has "
        "the amount, the packet and the condition of the terms.",
        ("post", "/transfers", "/transfers", True),
    ),
    (
        "6. Commit",
        "The payee DFSP credits its customer and sends the fulfilment. The hub commits, and notifies the payer DFSP.",
        ("put", "/transfers/{transfer_id}", f"/transfers/{TRANSFER_ID}", False),
    ),
)


LANES = ((80, "Payer DFSP"), (380, "Hub"), (680, "Payee DFSP"))
"""The horizontal positions of the payer DFSP, the hub and the payee DFSP in the drawing."""


def steps() -> list[Step]:
    return [
        Step(
            title,
            text,
            method.upper(),
            path,
            is_from_payer,
            _message(method, template, path, is_from_payer),
            70 + 42 * number,
        )
        for number, (title, text, (method, template, path, is_from_payer)) in enumerate(_STEPS)
    ]


def _message(method: str, template: str, path: str, is_from_payer: bool) -> str:
    """Returns the HTTP request by which the sender sends the message, as text."""
    source, destination = (PAYER, PAYEE) if is_from_payer else (PAYEE, PAYER)
    resource = path.split("/")[1]
    media_type = versions.content_type(resource, versions.Version(1, 1))
    lines = [f"{method.upper()} {path} HTTP/1.1", f"Content-Type: {media_type}"]
    if method != "put":
        lines.append(f"Accept: {media_type.partition(';')[0]};version=1")
    lines += [f"Date: {DATE}", f"FSPIOP-Source: {source}"]
    if template != "/parties/{id_type}/{identifier}" or method == "put":
        lines.append(f"FSPIOP-Destination: {destination}")
    body = EXAMPLES.get((method, template))
    return "\n".join(lines + (["", json.dumps(body, indent=2, ensure_ascii=False)] if body else []))
