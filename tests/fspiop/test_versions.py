import pytest

from fspiop.errors import ErrorCode, FspiopError
from fspiop.versions import SUPPORTED, Version, accept, content_type, read_accept, read_content_type

QUOTES = "application/vnd.interoperability.quotes+json"
FX = "application/vnd.interoperability.fxQuotes+json"
ALL = (("1", "0"), ("1", "1"), ("2", "0"))

CONTENT_TYPES = [
    (f"{QUOTES};version=1.0", (1, 0)),
    (f"{QUOTES};version=1.1", (1, 1)),
    (f"{QUOTES};version=2.0", (2, 0)),
    (f"{QUOTES}; version=1.1", (1, 1)),
    (f"{QUOTES} ; version=1.1", (1, 1)),
    (f"{QUOTES};version=1.1;charset=utf-8", (1, 1)),
    (f'{QUOTES};version=1.1; charset="UTF-8"', (1, 1)),
    ("Application/VND.interoperability.quotes+JSON;version=1.1", (1, 1)),
]
ACCEPTS = [
    (f"{QUOTES};version=1", (1, 1)),
    (f"{QUOTES};version=1.0", (1, 0)),
    (f"{QUOTES};version=1.1", (1, 1)),
    (f"{QUOTES};version=2", (2, 0)),
    (f"{QUOTES};version=2.0", (2, 0)),
    (QUOTES, (2, 0)),
    (f"{QUOTES}; version=1", (1, 1)),
    (f"{QUOTES};version=1,{QUOTES};version=2", (1, 1)),  # the first wish that can be met
    (f"{QUOTES};version=3,{QUOTES};version=1.0", (1, 0)),
    (f"{QUOTES};version=3, {QUOTES}", (2, 0)),  # "3, or else the newest": section 3.3.4.1
    (f"{QUOTES};version=1;q=0.5, */*;q=0.1", (1, 1)),
]


@pytest.mark.parametrize(("text", "version"), CONTENT_TYPES)
def test_a_content_type_says_the_message_s_version(text, version):
    assert read_content_type(text, "quotes") == Version(*version)


@pytest.mark.parametrize(("text", "version"), ACCEPTS)
def test_an_accept_says_the_answer_s_version(text, version):
    assert read_accept(text, "quotes") == Version(*version)


@pytest.mark.parametrize(
    "text",
    [
        *("", "application/json", "application/xml", "text/plain", "*/*", QUOTES, f"{QUOTES};", f"{QUOTES};version="),
        *(f"{QUOTES};version=1", f"{QUOTES};version=1.1.1", f"{QUOTES};version=a.b", f"{QUOTES};version=1.1x"),
        *(f"{QUOTES};version=1.1\n", f" {QUOTES};version=1.1", f"{QUOTES};version=١.1", f"{QUOTES};version=-1.1"),
        *(f"{QUOTES};version=1.1;charset=latin-1", f"{QUOTES};  version=1.1", f"{QUOTES};version=1111.1"),
        "application/vnd.interoperability.transfers+json;version=1.1",  # another resource's
        "application/vndXinteroperability.quotes+json;version=1.1",
        "application/vnd.interoperability.quoteſ+json;version=1.1",  # a long s, which is no s
        f"{QUOTES};version=1.1" + " " * 600,
    ],
)
def test_a_content_type_in_another_form_is_malformed(text):
    with pytest.raises(FspiopError) as found:
        read_content_type(text, "quotes")
    assert found.value.code == "3101"
    assert found.value.description == "Malformed syntax - Invalid content-type header"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "application/json",
        "*/*",
        ",",
        f"{QUOTES};version=x",
        f"{QUOTES};version=1.",
        FX,
        f"{QUOTES};v=1",
        QUOTES * 20,
    ],
)
def test_an_accept_in_another_form_is_malformed(text):
    with pytest.raises(FspiopError) as found:
        read_accept(text, "quotes")
    assert found.value.code == "3101"
    assert found.value.description == "Malformed syntax - Invalid accept header"


@pytest.mark.parametrize("version", ["0.9", "1.2", "2.1", "3.0", "10.0", "999.999"])
def test_a_content_version_that_is_not_supported_is_answered_with_those_that_are(version):
    with pytest.raises(FspiopError) as found:
        read_content_type(f"{QUOTES};version={version}", "quotes")
    assert (found.value.code, found.value.http_status, found.value.extensions) == ("3001", 406, ALL)
    assert found.value.description == (
        "Unacceptable version requested - Client supplied a protocol version which is not supported by the server"
    )


@pytest.mark.parametrize("text", [f"{QUOTES};version={v}" for v in ("0", "1.2", "2.1", "3", "10")])
def test_an_accepted_version_that_is_not_supported_is_answered_with_those_that_are(text):
    with pytest.raises(FspiopError) as found:
        read_accept(text, "quotes")
    assert (found.value.code, found.value.http_status, found.value.extensions) == ("3001", 406, ALL)
    said = (
        "Unacceptable version requested - The Client requested an unsupported version, "
        "see extension list for supported version(s)."
    )
    assert found.value.description == said
    assert found.value.body()["errorInformation"]["extensionList"]["extension"] == [
        {"key": major, "value": minor} for major, minor in ALL
    ]


@pytest.mark.parametrize("resource", ["fxQuotes", "fxTransfers", "services"])
def test_foreign_exchange_begins_with_version_2(resource):
    assert SUPPORTED[resource] == (Version(2, 0),)
    assert read_accept(accept(resource, 2), resource) == Version(2, 0)
    for text in (accept(resource, 1), accept(resource, Version(1, 1))):
        with pytest.raises(FspiopError) as found:
            read_accept(text, resource)
        assert found.value.extensions == (("2", "0"),)


@pytest.mark.parametrize(
    ("read", "header"), [(read_content_type, "content-type"), (read_accept, "accept")], ids=["content-type", "accept"]
)
def test_a_header_that_is_missing_is_named(read, header):
    with pytest.raises(FspiopError) as found:
        read(None, "quotes")
    assert found.value.error is ErrorCode.MISSING_ELEMENT
    assert found.value.description == (f"Missing mandatory element - /header must have required property '{header}'")


def test_a_refusal_is_made_anew_each_time():
    refusals = []
    for _ in range(2):
        with pytest.raises(FspiopError) as found:
            read_accept("text/html", "quotes")
        refusals.append(found.value)
    assert refusals[0] is not refusals[1]


@pytest.mark.parametrize(
    ("resource", "version"), [(resource, version) for resource, found in SUPPORTED.items() for version in found]
)
def test_what_is_written_is_read_as_what_was_meant(resource, version):
    assert read_content_type(content_type(resource, version), resource) == version
    assert content_type(resource, str(version)) == content_type(resource, version)
    assert read_accept(accept(resource, version), resource) == version
    assert read_accept(accept(resource, version.major), resource).major == version.major


def test_the_texts_are_those_of_the_api():
    assert content_type("transfers", Version(1, 1)) == "application/vnd.interoperability.transfers+json;version=1.1"
    assert accept("transfers", 1) == "application/vnd.interoperability.transfers+json;version=1"
    assert (str(Version(2, 0)), Version(1, 1) < Version(2, 0)) == ("2.0", True)
