"""The page on which a user requests a change. The page has a form with a reason, and lists the roles that have the
right to approve the request."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from hub.audit.models import Approval
from portal import changes
from portal.permissions import RIGHTS
from portal.visitor import visitor_of


class AskForm(forms.Form):
    """The base class of every form that requests a change. The last field of every form is the reason."""

    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=512, widget=forms.Textarea(attrs={"rows": 2}))
    field_order: Sequence[str] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields([name for name in self.fields if name != "reason"])


def asking(
    request: HttpRequest,
    kind: str,
    *,
    form: AskForm,
    subject: Callable[[dict[str, Any]], str] | str,
    payload: Callable[[dict[str, Any]], changes.Payload],
    back: str,
    facts: Sequence[changes.Line] = (),
    steps: Sequence[Any] = (),
    then: Callable[[Approval], None] | None = None,
) -> HttpResponse:
    """Shows the form. When a valid form is sent, submits the request and redirects to the request's page.

    `then` runs in the database transaction that stores the new request.
    """
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            with transaction.atomic():
                approval = changes.ask(
                    visitor_of(request),
                    kind,
                    subject=subject if isinstance(subject, str) else subject(said),
                    payload=payload(said),
                    reason=said["reason"],
                )
                if then is not None:
                    then(approval)
        except changes.NotApproved as reason:
            form.add_error(None, str(reason))
        else:
            messages.success(request, _("Request submitted. The change takes effect after a second person's approval."))
            return redirect("approval", approval.pk)
    found = changes.KINDS[kind]
    checkers = sorted(str(role.label) for role in RIGHTS[found.check])
    context = {"form": form, "title": found.title, "back": back, "facts": facts, "checkers": checkers, "steps": steps}
    return render(request, "portal/ask.html", context, status=400 if form.errors else 200)
