"""The table of resources is what URLs, endpoints, doors and versions follow."""

from fspiop.resources import RESOURCES
from fspiop.versions import SUPPORTED
from hub import dfsp_urls
from hub.api.dfsp_routing_middleware import DFSP_DOORS
from hub.participants import endpoint_types_and_urls


def test_the_api_has_twelve_resources() -> None:
    # FSPIOP API v1.1, section 6; v2.0 adds conversions and the list of their providers
    assert sorted(RESOURCES) == [
        *("authorizations", "bulkQuotes", "bulkTransfers", "fxQuotes", "fxTransfers", "participants"),
        *("parties", "quotes", "services", "transactionRequests", "transactions", "transfers"),
    ]
    assert SUPPORTED.keys() == RESOURCES.keys()


def test_each_resource_has_urls_and_each_url_a_resource() -> None:
    first = {str(pattern.pattern).partition("/")[0] for pattern in dfsp_urls.urlpatterns}
    assert first == RESOURCES.keys() | {"token"}
    assert {str(pattern.pattern) for pattern in dfsp_urls.own_api_urlpatterns} == {"dfsp/v1/"}
    assert first | {"dfsp"} == DFSP_DOORS


def test_each_resource_has_an_endpoint_type_that_participants_may_register() -> None:
    for name in RESOURCES:
        found = {endpoint_types_and_urls.type_of(method, f"/{name}/1") for method in ("GET", "POST", "PUT")}
        assert endpoint_types_and_urls.BASE not in found
        assert all(map(endpoint_types_and_urls.is_known_type, found))
