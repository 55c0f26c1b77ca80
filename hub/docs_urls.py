"""/docs/: one OpenAPI document of each API, and one of all, with pages to read them."""

from csp.constants import SELF, UNSAFE_INLINE
from csp.decorators import csp_update
from django.urls import URLPattern, include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from hub.api.docs import APIS
from hub.dfsp_urls import urlpatterns as dfsp_urlpatterns
from settlement import urls as settlement_urls

_PATTERNS = {
    "fspiop": dfsp_urlpatterns,
    "ledger": [
        path("api/ledger/v1/", include("hub.api.urls")),
        path("api/ledger/v1/", include("ledger.urls")),
        path("api/ledger/v1/", include(settlement_urls.administration_urlpatterns)),
    ],
    "directory": [path("api/directory/v1/", include("directory.urls"))],
    "settlement": [path("api/settlement/v2/", include("settlement.urls"))],
}
assert set(_PATTERNS) == set(APIS)


def _of(api: str) -> list[URLPattern]:
    settings = {"TITLE": f"Kitovu: {APIS[api]}"}
    schema = SpectacularAPIView.as_view(patterns=_PATTERNS[api], custom_settings=settings)
    return [path(f"schema/{api}", schema, name=f"schema-{api}"), _page(api, f"schema-{api}", f"docs-{api}")]


def _page(route: str, schema: str, name: str) -> URLPattern:
    # Swagger UI styles its elements inline; its page shows nothing that came from anybody.
    page = csp_update({"style-src": [SELF, UNSAFE_INLINE]})(SpectacularSwaggerSplitView.as_view(url_name=schema))
    return path(route, page, name=name)


urlpatterns = [
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    _page("", "schema", "docs"),
    *(pattern for api in APIS for pattern in _of(api)),
]
