from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fspiop.time import format_datetime, http_date, parse_datetime, parse_http_date

moments = st.datetimes(
    min_value=datetime(1000, 1, 2),  # noqa: DTZ001 - Hypothesis wants naive ends
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=14)), timezone(-timedelta(hours=3, minutes=30))]),
)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-01T00:00:00.000Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2016-05-24T08:38:08.699-04:00", datetime(2016, 5, 24, 12, 38, 8, 699000, tzinfo=UTC)),
        ("2024-02-29T23:59:59.999+05:30", datetime(2024, 2, 29, 18, 29, 59, 999000, tzinfo=UTC)),
        ("2000-02-29T00:00:00.001Z", datetime(2000, 2, 29, 0, 0, 0, 1000, tzinfo=UTC)),
        ("9999-12-31T23:59:59.999Z", datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)),
        ("1000-01-01T00:00:00.000+14:00", datetime(999, 12, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_datetime_is_a_moment_in_utc(text, moment):
    found = parse_datetime(text)
    assert found == moment
    assert found.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.00Z", "2026-01-01T00:00:00.0000Z"),
        *(
            "2026-01-01T00:00:00.000",
            "2026-01-01 00:00:00.000Z",
            "2026-01-01T00:00:00.000z",
            "2026-01-01T00:00:00,000Z",
        ),
        *("2026-01-01T24:00:00.000Z", "2026-01-01T00:60:00.000Z", "2026-01-01T00:00:60.000Z"),
        *("2026-02-29T00:00:00.000Z", "2026-02-30T00:00:00.000Z", "1900-02-29T00:00:00.000Z"),
        *(
            "2026-04-31T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-00-01T00:00:00.000Z",
            "2026-01-00T00:00:00.000Z",
        ),
        *("0999-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000+0100", "2026-01-01T00:00:00.000+20:00"),
        *(
            "2026-01-01T00:00:00.000Z\n",
            " 2026-01-01T00:00:00.000Z",
            "٢026-01-01T00:00:00.000Z",
            "20260101T000000.000Z",
        ),
        "9999-12-31T23:59:59.999-01:00",  # beyond the last year in UTC
    ],
)
def test_a_datetime_in_another_form_is_refused(text):
    with pytest.raises(ValueError, match="DateTime"):
        parse_datetime(text)


@given(moments)
def test_every_moment_comes_back_but_for_what_is_finer_than_a_millisecond(moment):
    back = parse_datetime(format_datetime(moment))
    assert timedelta(0) <= moment - back < timedelta(milliseconds=1)


def test_a_datetime_is_written_in_utc_with_three_decimals():
    assert format_datetime(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00.000Z"
    assert format_datetime(datetime(2026, 1, 1, 1, 2, 3, 4999, tzinfo=timezone(timedelta(hours=1)))) == (
        "2026-01-01T00:02:03.004Z"
    )


@pytest.mark.parametrize("write", [format_datetime, http_date])
def test_a_moment_without_a_zone_is_refused(write):
    with pytest.raises(ValueError, match="zone"):
        write(datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_date_header_is_an_imf_fixdate():
    assert http_date(datetime(2026, 11, 24, 8, 5, 9, tzinfo=UTC)) == "Tue, 24 Nov 2026 08:05:09 GMT"
    assert (
        http_date(datetime(2026, 11, 24, 1, 0, tzinfo=timezone(timedelta(hours=3)))) == "Mon, 23 Nov 2026 22:00:00 GMT"
    )
    assert parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)


@given(moments)
def test_every_date_header_comes_back_to_the_second(moment):
    assert parse_http_date(http_date(moment)) == moment.astimezone(UTC).replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026-11-24T08:00:00.000Z", "Tue, 24 Nov 2026 08:00:00 UTC", "Tue, 24 Nov 2026 08:00:00 +0000"),
        *("Tue, 4 Nov 2026 08:00:00 GMT", "Tue 24 Nov 2026 08:00:00 GMT", "24 Nov 2026 08:00:00 GMT"),
        *("Tue, 24 nov 2026 08:00:00 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"),
        *("Tue, 24 Nov 2026 08:00:00 GMT ", "Tue, 24 Nov 2026 08:00:00 GMT\n", "Tue, 2٤ Nov 2026 08:00:00 GMT"),
        *("Mon, 30 Feb 2026 08:00:00 GMT", "Tue, 24 Nov 2026 24:00:00 GMT", "Tue, 24 Nov 2026 08:61:00 GMT"),
        "Sat, 01 Jan 0000 00:00:00 GMT",
    ],
)
def test_a_date_header_in_another_form_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the day that does not exist is Python's own finding
        parse_http_date(text)
