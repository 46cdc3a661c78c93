"""What student and teacher read."""

import pytest

from tests.worker.engine.tiny import tiny_tokenizer
from worker.engine.model.images import messages_and_pictures
from worker.engine.rollouts.prompts import LengthLimits, PromptBuilder, encode, with_hint
from worker.engine.types import Task


def reader(*, max_prompt_tokens=200, max_context_tokens=200):
    return PromptBuilder(tiny_tokenizer(), LengthLimits(max_prompt_tokens, max_context_tokens))


def task(*messages, answer="42", solution="six times seven is 42"):
    return Task(row=17, messages=messages, answer=answer, solution=solution, trajectory=None, privileged=None, item={})


def test_the_teachers_prompt_is_the_students_with_one_block_in_the_last_user_message():
    row = task(
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "6 x 7?"},
    )
    student = reader().tokenizer.decode(reader().prompt(row).student.ids)
    teacher = reader().tokenizer.decode(reader().with_hint(row, hint="six times seven is 42").ids)
    assert student.endswith("6 x 7?<|end|><|assistant|>")
    assert teacher == student.replace("6 x 7?", "6 x 7?\n\nReference:\nsix times seven is 42")
    assert "42" not in student


def test_only_what_is_asked_for_is_hinted():
    row = task({"role": "user", "content": "6 x 7?"})
    by_answer = reader().tokenizer.decode(reader().with_hint(row, hint="42").ids)
    assert "six times" not in by_answer
    assert by_answer.endswith("Reference:\n42<|end|><|assistant|>")
    assert reader().with_hint_that_fits(row, hint="42") == reader().with_hint(row, hint="42")


def test_the_messages_of_the_row_are_left_as_they_were():
    messages = [{"role": "user", "content": "q"}]
    with_hint(messages, hint="secret", row=1)
    assert messages == [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    ("limits", "hint", "words"),
    [
        ({"max_prompt_tokens": 5, "max_context_tokens": 500}, None, r"row 17: the prompt has \d+ tokens.* = 5"),
        ({"max_prompt_tokens": 30, "max_context_tokens": 500}, "hint", r"row 17: the prompt with its hint"),
        ({"max_prompt_tokens": 500, "max_context_tokens": 5}, None, r"row 17: .* the model's context leaves 5"),
    ],
)
def test_a_prompt_that_is_too_long_is_an_error_naming_the_row(limits, hint, words):
    row, narrow = task({"role": "user", "content": "6 x 7?"}), reader(**limits)
    with pytest.raises(ValueError, match=words):
        narrow.prompt(row) if hint is None else narrow.with_hint(row, hint="six times seven is 42")


@pytest.mark.parametrize("limit", ["max_prompt_tokens", "max_context_tokens"])
def test_a_hint_that_is_not_the_rows_own_and_does_not_fit_leaves_the_teacher_without_a_word(limit):
    row, hint = task({"role": "user", "content": "6 x 7?"}), "a long way to 42"
    needed = len(reader().with_hint(row, hint=hint).ids)
    assert reader(**{limit: needed}).with_hint_that_fits(row, hint=hint) is not None
    assert reader(**{limit: needed - 1}).with_hint_that_fits(row, hint=hint) is None


def test_text_parts_are_joined_and_malformed_ones_refused():
    parts = [{"type": "text", "text": "6 x "}, {"type": "text", "text": "7?"}]
    joined, pictures = messages_and_pictures(task({"role": "user", "content": parts}))
    assert (joined, pictures) == ([{"role": "user", "content": "6 x 7?"}], ())
    for content, words in (
        ([{"type": "video"}], "neither text nor an image"),
        (["6 x 7?"], "neither"),
        (None, "no text"),
    ):
        with pytest.raises(ValueError, match=f"row 17: a message .*{words}"):
            messages_and_pictures(task({"role": "user", "content": content}))


def test_a_model_of_text_is_not_shown_an_image():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(ValueError, match="row 17: the question shows an image, and the model reads only text"):
        reader().prompt(task({"role": "user", "content": [picture]}))


def test_without_a_user_message_there_is_no_place_for_the_hint():
    with pytest.raises(ValueError, match="row 17: there is no user message"):
        reader().with_hint(task({"role": "system", "content": "q"}), hint="42")


def test_without_a_chat_template_there_is_no_prompt():
    with pytest.raises(ValueError, match="no chat template"):
        encode(tiny_tokenizer(chat_template=None), [{"role": "user", "content": "q"}])
