"""Pages of requests that wait for approval and of decided requests."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _

from hub.audit.models import Approval
from portal import changes, pagination
from portal.first_sign_in import ACCOUNT_KINDS
from portal.visitor import Visitor, visitor_of


def _visible(visitor: Visitor) -> "QuerySet[Approval]":
    """Returns the requests that the visitor may see. A participant's users see only requests of their participant."""
    found = Approval.objects.select_related("maker", "holder", "checker")
    return found if visitor.dfsp_id is None else found.filter(maker__profile__participant_id=visitor.dfsp_id)


def index(request: HttpRequest) -> HttpResponse:
    visitor = visitor_of(request)
    now = timezone.now()
    pending = list(_visible(visitor).filter(state="PENDING", expires_at__gt=now).order_by("expires_at")[:200])
    ended = _visible(visitor).exclude(state="PENDING", expires_at__gt=now)
    page = pagination.by_id(request, ended)
    for found in page.rows:
        found.title = changes.KINDS[found.kind].title
    return render(
        request,
        "portal/approvals.html",
        {"pending": [_shown(visitor, found) for found in pending], "page": page},
    )


def _shown(visitor: Visitor, approval: Approval, *, with_figures: bool = False) -> dict[str, Any]:
    """Returns what the pages show. `with_figures` adds the present limits while the request waits."""
    kind = changes.KINDS[approval.kind]
    assert visitor.user is not None
    is_own = visitor.user.pk in (approval.maker_id, approval.holder_id)
    is_open = approval.state == Approval.State.PENDING
    is_account = approval.kind in ACCOUNT_KINDS and (approval.kind != "create_user" or approval.state == "APPROVED")
    is_late = is_open and approval.expires_at <= timezone.now()
    with_figures = with_figures and is_open and not is_late
    return {
        "approval": approval,
        "title": kind.title,
        "lines": kind.describe(approval.payload),
        "circumstances": kind.circumstances(approval.payload) if kind.circumstances and with_figures else [],
        "account": approval.subject if is_account else "",
        "state": "EXPIRED" if is_late else approval.state,
        "may_approve": is_open and not is_late and not is_own and visitor.may(kind.check),
        "may_refuse": is_open and not is_own and visitor.may(kind.check),
        "may_withdraw": is_open and is_own,
    }


def show(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor = visitor_of(request)
    found = _found(visitor, approval_id)
    return render(request, "portal/approval.html", _shown(visitor, found, with_figures=True))


def approve(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor = _checker(request, approval_id)
    done = changes.KINDS[_found(visitor, approval_id).kind].done or _("Request approved. The change has taken effect.")
    return _decide(request, approval_id, str(done), lambda: changes.approve(visitor, approval_id))


def refuse(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor, reason = _checker(request, approval_id), request.POST.get("reason", "")[:512]
    return _decide(
        request, approval_id, _("Request rejected."), lambda: changes.refuse(visitor, approval_id, reason=reason)
    )


def withdraw(request: HttpRequest, approval_id: int) -> HttpResponse:
    visitor = visitor_of(request)
    _found(visitor, approval_id)
    user = visitor.user
    assert user is not None
    return _decide(request, approval_id, _("Request withdrawn."), lambda: changes.withdraw(user, approval_id))


def _checker(request: HttpRequest, approval_id: int) -> Visitor:
    """Returns the visitor.

    Raises 404 if the visitor may not see the request, and PermissionDenied if the visitor may not approve it.
    """
    visitor = visitor_of(request)
    if not visitor.may(changes.KINDS[_found(visitor, approval_id).kind].check):
        raise PermissionDenied
    return visitor


def _decide(request: HttpRequest, approval_id: int, done: str, decide: Callable[[], Approval]) -> HttpResponse:
    try:
        decide()
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
