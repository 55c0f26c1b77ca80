"""The page of callbacks that wait for delivery, and of callbacks that the hub no longer tries to send."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hub.outbox import queries
from hub.outbox import resend as outbox_resend
from hub.outbox.models import Message
from hub.participants.models import Participant
from portal import pagination
from portal.posted_text import posted
from portal.visitor import visitor_of


def index(request: HttpRequest) -> HttpResponse:
    """Lists callbacks. A participant's users see only callbacks to their own participant."""
    found = Message.objects.select_related("destination").defer("body", "headers")
    dfsp_id = visitor_of(request).dfsp_id
    if dfsp_id is not None:
        found = found.filter(destination_id=dfsp_id)
    name = request.GET.get("dfsp", "")
    if name and "\0" not in name:
        found = found.filter(destination__name=name)
    if request.GET.get("state") != "all":
        found = found.filter(state=Message.State.DEAD, put_aside_at__isnull=True)
    crowds = [crowd for crowd in queries.crowds() if dfsp_id is None or visitor_of(request).dfsp_name == crowd.source]
    context = {
        "queues": queries.queues(dfsp_id),
        "crowds": crowds,
        "page": pagination.by_id(request, found),
        "dfsp": name,
    }
    return render(request, "portal/callbacks.html", context)


def resend(request: HttpRequest, message_id: int) -> HttpResponse:
    try:
        message = outbox_resend.send_again(message_id, actor=visitor_of(request).name)
    except outbox_resend.NotSent as reason:
        messages.error(request, str(reason))
    else:
        messages.success(
            request, _("The hub is sending this message to %(name)s again.") % {"name": message.destination.name}
        )
    return _back(request)


def resend_all(request: HttpRequest, name: str) -> HttpResponse:
    participant = Participant.objects.filter(name=name).first()
    if participant is None:
        return _back(request)
    done = outbox_resend.send_all_again(participant.pk, actor=visitor_of(request).name)
    messages.success(request, _("%(count)s callbacks are now being sent again.") % {"count": done.sent})
    if done.put_aside:
        told = ngettext(
            "%(count)s request was put aside, because its requester was notified.",
            "%(count)s requests were put aside, because their requesters were notified.",
            done.put_aside,
        )
        messages.success(request, told % {"count": done.put_aside})
    return _back(request)


def _back(request: HttpRequest) -> HttpResponse:
    back = posted(request, "back")
    if url_has_allowed_host_and_scheme(back, allowed_hosts=None) and back.startswith("/portal/"):
        return redirect(back)
    return redirect("callbacks")
