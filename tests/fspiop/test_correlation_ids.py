import re
import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fspiop.correlation_ids import CORRELATION_ID, is_correlation_id, new_ulid, new_uuid

UUID = "b51ec534-ee48-4575-b6a9-ead2955b8069"
ULID = "01M85BYKXWRNDZ75CG33DMZB0J"


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("variant", "89ab")
def test_a_uuid_of_versions_1_to_7_is_an_id(version, variant):
    assert is_correlation_id(f"b51ec534-ee48-{version}575-{variant}6a9-ead2955b8069")


def test_a_ulid_is_an_id():
    assert is_correlation_id(ULID)


@pytest.mark.parametrize(
    "text",
    [
        "",
        UUID.upper(),
        UUID + "\n",
        " " + UUID,
        UUID[:-1],
        UUID + "0",
        UUID.replace("-", ""),
        "{" + UUID + "}",
        "b51ec534-ee48-0575-b6a9-ead2955b8069",  # no version 0
        "b51ec534-ee48-8575-b6a9-ead2955b8069",  # no version 8
        "b51ec534-ee48-4575-c6a9-ead2955b8069",  # another variant
        "b51ec534-ee48-4575-b6a9-ead2955b806٣",
        "00000000-0000-0000-0000-000000000000",
        ULID.lower(),
        ULID[:-1],
        ULID + "0",
        ULID + "\n",
        ULID[:-1] + "I",
        ULID[:-1] + "L",
        ULID[:-1] + "O",
        ULID[:-1] + "U",
        "../transfers",
        "b51ec534-ee48-4575-b6a9-ead2955b8069/error",
    ],
)
def test_anything_else_is_no_id(text):
    assert not is_correlation_id(text)


@given(st.uuids(version=4))
def test_every_uuid_in_canonical_text_is_an_id(value):
    assert is_correlation_id(str(value))


def test_the_pattern_and_the_function_agree():
    assert re.search(CORRELATION_ID, UUID)
    assert not re.search(CORRELATION_ID, UUID + "\n")


def test_new_ids_are_ids_and_differ():
    made = [new_uuid() for _ in range(200)] + [new_ulid() for _ in range(200)]
    assert all(is_correlation_id(text) for text in made)
    assert len(set(made)) == 400
    assert uuid.UUID(new_uuid()).version == 4


def test_ulids_of_later_moments_sort_later(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 1_469_918_176_385 * 1_000_000)
    earlier = new_ulid()
    monkeypatch.setattr(time, "time_ns", lambda: 1_469_918_176_386 * 1_000_000)
    assert earlier[:10] == "01ARYZ6S41"  # the ULID specification's own example of this moment
    assert earlier < new_ulid()
