"""The type of a case."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from django.utils.functional import Promise

from portal.certification.running_case import Scene

Side = Literal["payee", "payer", "all"]


@dataclass(frozen=True, slots=True)
class Case:
    """One case, with its purpose, its expected result, and its script.

    `side` is the DFSP's role in the payment, for example payer. A DFSP can go live even if it left out an optional
    case. A case begins only after the cases in `after` have ended.
    """

    name: str
    side: Side
    title: Promise
    expected: Promise
    script: Callable[[Scene], Awaitable[None]]
    is_optional: bool = False
    after: tuple[str, ...] = ()
