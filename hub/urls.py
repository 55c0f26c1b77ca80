"""All URLs. `hub.api.dfsp_routing_middleware` routes the requests of DFSPs. These requests do not use the routes in
this file."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path
from django.views.generic import RedirectView

from hub import health, metrics
from hub.dfsp_urls import own_api_urlpatterns
from hub.dfsp_urls import urlpatterns as dfsp_urlpatterns
from settlement import urls as settlement_urls

urlpatterns = [
    path("health", health.health),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.show_metrics),
    path("api/ledger/v1/health", health.health_of_ledger),
    path("api/ledger/v1/", include("hub.api.administration.approval_and_credential_urls")),
    path("api/ledger/v1/", include("ledger.administration_urls")),
    path("api/directory/v1/health", health.health),
    path("api/directory/v1/", include("directory.oracle_administration_urls")),
    path("api/ledger/v1/", include(settlement_urls.administration_urlpatterns)),
    path("api/settlement/v2/health", health.health),
    path("api/settlement/v2/", include("settlement.urls")),
    path("admin/", admin.site.urls),
    path("docs/", include("hub.docs_urls")),
    path("portal/", include("portal.urls")),
    path("favicon.ico", RedirectView.as_view(url=static("portal/icon.svg"))),
    # `hub.api.dfsp_routing_middleware` routes these requests. The routes are in this list only for the OpenAPI
    # document.
    *dfsp_urlpatterns,
    *own_api_urlpatterns,
]

handler400 = "portal.views.errors.bad_request"
handler403 = "portal.views.errors.not_allowed"
handler404 = "portal.views.errors.not_found"
handler500 = "portal.views.errors.server_error"

admin.site.site_header = admin.site.site_title = "Kitovu"
