"""Changes as they really happen: one person requests, another approves."""

from typing import Any

from django.contrib.auth.models import User

from hub.audit import approvals
from hub.audit.models import Approval
from rules.alerts.requested_changes import PERFORM, subject_of
from tests.factories import UserFactory


def person(name: str) -> User:
    return User.objects.filter(username=name).first() or UserFactory.create(username=name)


def ask(kind: str, payload: dict[str, Any]) -> Approval:
    return approvals.ask(
        kind=kind, subject=subject_of(kind, payload), payload=payload, reason="a test", maker=person("mary")
    )


def approve(approval: Approval) -> Any:
    made = []
    approvals.approve(
        approval.pk,
        checker=person("chris"),
        perform=lambda found: made.append(PERFORM[found.kind](found.payload, "mary, approved by chris")),
    )
    return made[0]


def decide(kind: str, payload: dict[str, Any]) -> Any:
    return approve(ask(kind, payload))
