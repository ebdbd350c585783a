"""--extra-body: further fields of a request, and what they may not be."""

import pytest

from dataset_builder.contract import StageError
from dataset_builder.extra_body import read_extra_body


def test_fields_come_as_they_are():
    assert read_extra_body(None) is None
    assert read_extra_body('{"max_tokens": null, "max_completion_tokens": 2000, "top_k": 5}') == {
        "max_tokens": None,
        "max_completion_tokens": 2000,
        "top_k": 5,
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "must be a JSON object"),
        ('{"max_tokens": "many"}', "max_tokens must be a whole number from 1 on, or null, got 'many'"),
        ('{"max_tokens": 0}', "got 0"),
        ('{"max_completion_tokens": 1.5}', "max_completion_tokens must be a whole number"),
    ],
)
def test_what_is_no_field_or_no_bound_is_refused(text, words):
    with pytest.raises(StageError, match=words):
        read_extra_body(text)
