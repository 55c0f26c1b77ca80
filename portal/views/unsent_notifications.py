"""E-mails and webhooks that the hub could not send."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _

from hub.notifications import queries, services
from portal import pagination
from portal.visitor import visitor_of


def index(request: HttpRequest) -> HttpResponse:
    shows_all = request.GET.get("state") == "all"
    pending, given_up, oldest_s = queries.counts()
    context = {
        "page": pagination.by_id(request, queries.found(is_given_up=not shows_all)),
        "shows_all": shows_all,
        "pending": pending,
        "given_up": given_up,
        "oldest_s": oldest_s,
    }
    return render(request, "portal/notifications.html", context)


def resend(request: HttpRequest, notification_id: int) -> HttpResponse:
    try:
        found = services.send_again(notification_id, actor=visitor_of(request).name)
    except services.NotSent as reason:
        messages.error(request, str(reason))
    else:
        messages.success(
            request, _("The hub is sending this message to %(name)s again.") % {"name": found.shown_recipient}
        )
    return redirect("notifications")


def put_aside(request: HttpRequest, notification_id: int) -> HttpResponse:
    try:
        services.put_aside(notification_id, actor=visitor_of(request).name)
    except services.NotSent as reason:
        messages.error(request, str(reason))
    else:
        messages.success(request, _("Notification put aside."))
    return redirect("notifications")
