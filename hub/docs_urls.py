"""The URLs below /docs/: the integrator's guide, an OpenAPI document for each API, a document for all APIs together,
and pages that show these documents."""

from typing import Any

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, include, path
from django.utils import translation
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request

from hub.api.fspiop_document import SCHEMES
from hub.api.guide_payment_steps import LANES, steps
from hub.api.openapi import APIS
from hub.dfsp_urls import own_api_urlpatterns
from hub.dfsp_urls import urlpatterns as dfsp_urlpatterns
from settlement import urls as settlement_urls

_PATTERNS = {
    "fspiop": dfsp_urlpatterns,
    "dfsp": own_api_urlpatterns,
    "ledger": [
        path("api/ledger/v1/", include("hub.api.administration.approval_and_credential_urls")),
        path("api/ledger/v1/", include("ledger.administration_urls")),
        path("api/ledger/v1/", include(settlement_urls.administration_urlpatterns)),
    ],
    "directory": [path("api/directory/v1/", include("directory.oracle_administration_urls"))],
    "settlement": [path("api/settlement/v2/", include("settlement.urls"))],
}
assert set(_PATTERNS) == set(APIS)


# Generating a document takes half a second of CPU time, and the result does not change while the process runs.
_made: dict[tuple[str, str], tuple[bytes | str, str]] = {}


class SchemaView(SpectacularAPIView):
    """Returns a document. For each format, a process generates the document only once. The view ignores the request's
    query."""

    def _get_schema_response(self, request: Request) -> HttpResponse:
        renderer = self.perform_content_negotiation(request, force=True)[0]
        key = (str((self.custom_settings or {}).get("TITLE")), renderer.format)
        if key not in _made:
            with translation.override(settings.LANGUAGE_CODE):
                answer = super()._get_schema_response(request)
            _made[key] = renderer.render(answer.data, renderer.media_type, {}), answer.headers["Content-Disposition"]
        document, disposition = _made[key]
        return HttpResponse(document, content_type=renderer.media_type, headers={"Content-Disposition": disposition})

    def _get_version_parameter(self, request: Request) -> Any:
        return None


def _of(api: str) -> list[URLPattern]:
    title = {"TITLE": f"Kitovu: {APIS[api]}"}
    schema = SchemaView.as_view(patterns=_PATTERNS[api], custom_settings=title)
    return [path(f"schema/{api}", schema, name=f"schema-{api}"), _page(api, f"schema-{api}", f"docs-{api}")]


def _page(route: str, schema: str, name: str) -> URLPattern:
    # Swagger UI sets inline styles. This is safe here, because the page contains no data of users.
    page = csp_update({"style-src": [SELF, UNSAFE_INLINE]})(SpectacularSwaggerSplitView.as_view(url_name=schema))
    return path(route, page, name=name)


def guide(request: HttpRequest) -> HttpResponse:
    """Returns the start page: a list of the documents, and a guide that explains the messages of a payment in order."""
    return render(
        request, "api/guide.html", {"apis": APIS, "lanes": LANES, "steps": steps(), "schemes": SCHEMES.values()}
    )


urlpatterns = [
    path("schema", SchemaView.as_view(), name="schema"),
    path("", guide, name="docs"),
    _page("all", "schema", "docs-all"),
    *(pattern for api in APIS for pattern in _of(api)),
]
