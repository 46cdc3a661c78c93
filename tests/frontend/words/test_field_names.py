"""Names of the API's fields in sentences, as the forms call them."""

import pytest

from frontend.words.field_names import in_form_words


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            "12% were cut off at max_completion_tokens = 256: raise it.",
            "12% were cut off at “Maximum completion length” = 256: raise it.",
        ),
        ("Lower batch_size or lora_rank.", "Lower “Questions per step” or lora_rank."),
        ("Out of memory: lower batch_size.", "Out of memory: lower “Questions per step”."),
        ("method.reinforcement.x_rlsd.eps_w: give two.", "“Weight clipping below and above 1”: give two."),
        ("Invalid 'suffix': too long.", "Invalid “Name”: too long."),
        ("'grader.source': must not be empty.", "“Python source”: must not be empty."),
        ("'grader.graders.rule.pattern' is required.", "“Pattern” of 'rule' is required."),
        ("The row has no 'suffix' and an empty 'batch_size'.", "The row has no 'suffix' and an empty 'batch_size'."),
        ("'grader.type' is required.", "'grader.type' is required."),
    ],
)
def test_a_field_is_called_as_in_its_form(sentence: str, shown: str) -> None:
    assert in_form_words(sentence) == shown
