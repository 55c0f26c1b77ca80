"""What is left out around a request changes nothing that a view or a client sees."""

import io
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIRequest
from hypothesis import given
from hypothesis import strategies as st

from hub.request_overhead import LeanRequest

PARTS = st.lists(
    st.sampled_from(
        ["application/json", ";", " ", "charset=", "utf-8", "latin-1", "no-such", '"', "version=1.1", "=", "a"]
    ),
    max_size=6,
).map("".join)


def environ(content_type: str) -> dict[str, Any]:
    return {"REQUEST_METHOD": "POST", "wsgi.input": io.BytesIO(), "CONTENT_TYPE": content_type, "PATH_INFO": "/"}


def seen(request: WSGIRequest) -> tuple[object, ...]:
    return request.content_type, request.content_params, request.encoding


@given(PARTS | st.text(max_size=40))
def test_a_content_type_means_the_same_as_to_django(content_type: str) -> None:
    try:
        expected = seen(WSGIRequest(environ(content_type)))
    except ValueError as error:
        with pytest.raises(type(error)):
            LeanRequest(environ(content_type))
        return
    for _ in range(2):  # the second time it is remembered
        assert seen(LeanRequest(environ(content_type))) == expected


def test_what_one_request_does_to_its_parameters_is_not_seen_by_the_next() -> None:
    first = LeanRequest(environ("application/json; a=b"))
    assert first.content_params is not None
    first.content_params["a"] = "changed"
    assert LeanRequest(environ("application/json; a=b")).content_params == {"a": "b"}
