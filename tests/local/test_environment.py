"""The environment of a hub that `make run` starts."""

from django.test import override_settings

from hub.local.__main__ import environ_of_run
from portal import parse_typed_values


def test_a_number_of_the_demo_is_understood_as_its_customers_write_it() -> None:
    with override_settings(SCHEME_COUNTRY=environ_of_run({})["SCHEME_COUNTRY"]):
        assert parse_typed_values.read_telephone_number("0655001005") == "255655001005"
    assert environ_of_run({"SCHEME_COUNTRY": "KE", "PORT": "9000"}) == {"SCHEME_COUNTRY": "KE", "PORT": "9000"}
