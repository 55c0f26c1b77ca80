"""The start page redirects users of the hub to the overview, and a participant's users to the participant's page."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from portal.permissions import Right
from portal.visitor import visitor_of


def index(request: HttpRequest) -> HttpResponse:
    visitor = visitor_of(request)
    if visitor.may(Right.SEE_OVERVIEW):
        return redirect("overview")
    if visitor.dfsp_name:
        return redirect("participant", visitor.dfsp_name)
    return redirect("account")
