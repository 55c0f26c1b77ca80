"""Pages of requests that wait for approval and of decided requests."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.audit.amount_rules import amounts_in
from hub.audit.models import Approval
from hub.sql_execution import is_of_some_rows
from portal import changes, pagination, steps_after_approval
from portal.first_sign_in_confirmation import ACCOUNT_KINDS
from portal.posted_text import posted
from portal.visitor import Visitor, visitor_of
from portal.words import subjects


def _visible(visitor: Visitor) -> "QuerySet[Approval]":
    """Returns the requests that the visitor may see. A participant's users see only the requests of their own
    participant."""
    found = Approval.objects.select_related("maker", "holder", "checker").prefetch_related("consents__checker")
    return found if visitor.dfsp_id is None else found.filter(maker__profile__participant_id=visitor.dfsp_id)


_MOST_AT_ONCE = 50


def index(request: HttpRequest) -> HttpResponse:
    visitor = visitor_of(request)
    now = timezone.now()
    waiting = _visible(visitor).filter(state="PENDING", expires_at__gt=now).order_by("expires_at")
    pending = pagination.latest(waiting, 200)
    ended = _visible(visitor).exclude(state="PENDING", expires_at__gt=now)
    page = pagination.by_id(request, ended)
    for found in page.rows:
        found.title = changes.KINDS[found.kind].title
        found.about = subjects.words_of(found.subject, found.kind)
    shown = [_shown(visitor, found) for found in pending]
    return render(
        request,
        "portal/approvals.html",
        {
            "pending": replace(pending, rows=shown),
            "may_approve_several": sum(each["may_approve"] for each in shown) > 1,
            "page": page,
        },
    )


def _shown(visitor: Visitor, approval: Approval, *, with_figures: bool = False) -> dict[str, Any]:
    """Returns the data that the pages show. `with_figures` adds the present limits while the request waits."""
    kind = changes.KINDS[approval.kind]
    assert visitor.user is not None
    is_own = visitor.user.pk in (approval.maker_id, approval.holder_id)
    is_open = approval.state == Approval.State.PENDING
    is_account = approval.kind in ACCOUNT_KINDS and (approval.kind != "create_user" or approval.state == "APPROVED")
    is_late = is_open and approval.expires_at <= timezone.now()
    consents = list(approval.consents.all())  # type: ignore[attr-defined]
    has_agreed = any(consent.checker_id == visitor.user.pk for consent in consents)
    with_figures = with_figures and is_open and not is_late
    return {
        "approval": approval,
        "title": kind.title,
        "about": subjects.words_of(approval.subject, approval.kind),
        "lines": kind.describe(approval.payload),
        "circumstances": kind.circumstances(approval.payload) if kind.circumstances and with_figures else [],
        "account": approval.subject if is_account else "",
        "state": "EXPIRED" if is_late else approval.state,
        "amounts": list(amounts_in(approval.payload)),
        "consents": consents,
        "left": max(0, approval.checkers_needed - len(consents)) if is_open else 0,
        "next": steps_after_approval.of(approval, visitor) if approval.state == Approval.State.APPROVED else [],
        "may_approve": is_open and not is_late and not is_own and not has_agreed and visitor.may(kind.check),
        "may_refuse": is_open and not is_own and visitor.may(kind.check),
        "may_withdraw": is_open and is_own,
    }


def show(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor = visitor_of(request)
    found = _found(visitor, approval_id)
    return render(request, "portal/approval.html", _shown(visitor, found, with_figures=True))


def approve(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor = _checker(request, approval_id)
    return _decide(request, approval_id, _said_of, lambda: changes.approve(visitor, approval_id))


def _said_of(approval: Approval) -> str:
    """Returns the text about an approval that a person has just given."""
    if approval.state == Approval.State.PENDING:
        return _("You have approved this request. It takes effect once another person approves it too.")
    return str(changes.KINDS[approval.kind].done or _("Request approved. The change has taken effect."))


def approve_several(request: HttpRequest) -> HttpResponse:
    """Approves the chosen requests of the list one after the other. Each approval runs in a separate database
    transaction.

    If one request cannot be approved, this request stays open, and the function continues with the other requests.
    """
    visitor = visitor_of(request)
    chosen = [int(text) for text in request.POST.getlist("request") if _is_number(text)][:_MOST_AT_ONCE]
    if not chosen:
        messages.info(request, _("Choose the requests that you approve."))
    done = []
    for found in _visible(visitor).filter(pk__in=chosen).order_by("pk"):
        title = f"{found.pk} {changes.KINDS[found.kind].title} {subjects.words_of(found.subject, found.kind)}"
        try:
            approval = changes.approve(visitor, found.pk)
        except changes.NotApproved as reason:
            messages.error(request, f"{title}: {reason}")
        except OperationalError as error:
            if not is_of_some_rows(error):
                raise
            text = _("Somebody else changed the same rows, so nothing of this request was done. Try again.")
            messages.error(request, f"{title}: {text}")
        else:
            waits = _("one more person needed")
            done.append(title if approval.state == Approval.State.APPROVED else f"{title} ({waits})")
    if done:
        messages.success(request, _("Approved: %(requests)s.") % {"requests": "; ".join(done)})
    return redirect("approvals")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def refuse(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor, reason = _checker(request, approval_id), posted(request, "reason")[:512]
    return _decide(
        request,
        approval_id,
        lambda _a: _("Request rejected."),
        lambda: changes.refuse(visitor, approval_id, reason=reason),
    )


def withdraw(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor = visitor_of(request)
    _found(visitor, approval_id)
    user = visitor.user
    assert user is not None
    return _decide(
        request, approval_id, lambda _a: _("Request withdrawn."), lambda: changes.withdraw(user, approval_id)
    )


def _checker(request: HttpRequest, approval_id: int) -> Visitor:
    """Returns the visitor.

    Raises 404 if the visitor may not see the request, and PermissionDenied if the visitor may not approve it.
    """
    visitor = visitor_of(request)
    if not visitor.may(changes.KINDS[_found(visitor, approval_id).kind].check):
        raise PermissionDenied
    return visitor


def _decide(
    request: HttpRequest, approval_id: int, said: Callable[[Approval], str], decide: Callable[[], Approval]
) -> HttpResponse:
    try:
        done = said(decide())
    except changes.NotApproved as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, done)
    return redirect("approval", approval_id)


def _found(visitor: Visitor, approval_id: int) -> Approval:
    found = _visible(visitor).filter(pk=approval_id).first()
    if found is None:
        raise Http404
    return found
