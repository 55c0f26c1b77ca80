import re
from collections import Counter

import pytest

from fspiop.errors import ErrorCode, FspiopError, error_body, text_of

HTTP_STATUSES = {
    ErrorCode.COMMUNICATION_ERROR: 503,
    ErrorCode.DESTINATION_COMMUNICATION_ERROR: 503,
    ErrorCode.SERVER_ERROR: 500,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
    ErrorCode.NOT_IMPLEMENTED: 501,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
    ErrorCode.TEMPORARY_PARTY_RESOLUTION_FAILURE: 503,
    ErrorCode.UNACCEPTABLE_VERSION: 406,
    ErrorCode.UNKNOWN_URI: 404,
    ErrorCode.MISSING_ELEMENT: 400,
    ErrorCode.TRANSFER_ID_NOT_FOUND: 400,
    ErrorCode.PAYER_LIMIT_ERROR: 400,
    ErrorCode.PAYEE_REJECTION: 400,
}


def test_every_code_is_one_of_the_api_s_form_and_stands_once():
    assert all(re.fullmatch("[1-9][0-9]{3}", error.code) for error in ErrorCode)
    assert Counter(error.code for error in ErrorCode).most_common(1)[0][1] == 1
    assert all(1 <= len(error.text) <= 128 for error in ErrorCode)


@pytest.mark.parametrize(("error", "status"), HTTP_STATUSES.items())
def test_a_code_has_the_http_status_of_the_reference_hub(error, status):
    assert error.http_status == status
    assert FspiopError(error).http_status == status


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("3208", "Transfer ID not found"),
        ("4240", "Payer limit error"),  # a scheme's own code reads as the generic one of its sub-category
        ("4940", "Generic Payer error"),
        ("1999", "Communication error"),
        ("3040", "Delete Party information error"),
        ("9999", "Generic server error"),
        ("", "Generic server error"),
    ],
)
def test_a_code_that_is_not_known_reads_as_its_generic_one(code, text):
    assert text_of(code) == text


def test_an_error_says_its_text_and_what_was_found():
    error = FspiopError(ErrorCode.MISSING_ELEMENT, "amount.currency is required")
    assert error.body() == {
        "errorInformation": {
            "errorCode": "3102",
            "errorDescription": "Missing mandatory element - amount.currency is required",
        }
    }
    assert (error.code, error.http_status, error.extensions) == ("3102", 400, ())
    assert str(error) == "3102 Missing mandatory element - amount.currency is required"


def test_an_error_without_detail_is_its_text_alone():
    assert FspiopError(ErrorCode.UNKNOWN_URI).description == "Unknown URI"


def test_an_error_may_have_another_http_status():
    assert FspiopError(ErrorCode.CLIENT_ERROR, http_status=405).http_status == 405


def test_extensions_follow_the_description():
    body = FspiopError(ErrorCode.UNACCEPTABLE_VERSION, extensions=[("1", "0"), ("2", "0")]).body()
    assert body["errorInformation"]["extensionList"] == {
        "extension": [{"key": "1", "value": "0"}, {"key": "2", "value": "0"}]
    }


def test_each_part_is_cut_to_the_length_that_the_api_allows():
    body = error_body("3100", "d" * 200, [("k" * 40, "v" * 200)] * 20)["errorInformation"]
    extensions = body["extensionList"]["extension"]
    assert body["errorDescription"] == "d" * 128
    assert len(extensions) == 16
    assert extensions[0] == {"key": "k" * 32, "value": "v" * 128}
    assert FspiopError(ErrorCode.VALIDATION_ERROR, "d" * 200).description == "Generic validation error - " + "d" * 101


def test_a_description_is_never_empty():
    assert error_body("4240", "")["errorInformation"] == {"errorCode": "4240", "errorDescription": "Payer limit error"}
