"""The prompts of student and teacher."""

import pytest

from tests.worker.engine.tiny import tiny_tokenizer
from worker.engine.model.images import messages_and_images
from worker.engine.rollouts.prompts import LengthLimits, PromptBuilder, with_hint
from worker.engine.types import Task


def prompt_builder(*, max_prompt_tokens=200, max_context_tokens=200):
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
    student = prompt_builder().tokenizer.decode(prompt_builder().prompt(row).student.ids)
    teacher = prompt_builder().tokenizer.decode(prompt_builder().with_hint(row, hint="six times seven is 42").ids)
    assert student.endswith("6 x 7?<|end|><|assistant|>")
    assert teacher == student.replace("6 x 7?", "6 x 7?\n\nReference:\nsix times seven is 42")
    assert "42" not in student


def test_only_the_chosen_hint_is_in_the_prompt():
    row = task({"role": "user", "content": "6 x 7?"})
    by_answer = prompt_builder().tokenizer.decode(prompt_builder().with_hint(row, hint="42").ids)
    assert "six times" not in by_answer
    assert by_answer.endswith("Reference:\n42<|end|><|assistant|>")
    assert prompt_builder().try_with_hint(row, hint="42") == prompt_builder().with_hint(row, hint="42")


def test_the_messages_of_the_row_are_left_as_they_were():
    messages = [{"role": "user", "content": "q"}]
    with_hint(messages, hint="secret", row=1)
    assert messages == [{"role": "user", "content": "q"}]


@pytest.mark.parametrize(
    ("limits", "hint", "message"),
    [
        ({"max_prompt_tokens": 5, "max_context_tokens": 500}, None, r"row 17: the prompt has \d+ tokens.* = 5"),
        ({"max_prompt_tokens": 30, "max_context_tokens": 500}, "hint", r"row 17: the prompt with its hint"),
        ({"max_prompt_tokens": 500, "max_context_tokens": 5}, None, r"row 17: .* the model's context leaves 5"),
    ],
)
def test_a_prompt_that_is_too_long_is_an_error_naming_the_row(limits, hint, message):
    row, narrow = task({"role": "user", "content": "6 x 7?"}), prompt_builder(**limits)
    with pytest.raises(ValueError, match=message):
        narrow.prompt(row) if hint is None else narrow.with_hint(row, hint="six times seven is 42")


@pytest.mark.parametrize("limit", ["max_prompt_tokens", "max_context_tokens"])
def test_a_hint_that_is_not_the_rows_own_and_does_not_fit_gives_no_context(limit):
    row, hint = task({"role": "user", "content": "6 x 7?"}), "a long way to 42"
    needed = len(prompt_builder().with_hint(row, hint=hint).ids)
    assert prompt_builder(**{limit: needed}).try_with_hint(row, hint=hint) is not None
    assert prompt_builder(**{limit: needed - 1}).try_with_hint(row, hint=hint) is None


def test_text_parts_are_joined_and_malformed_ones_refused():
    parts = [{"type": "text", "text": "6 x "}, {"type": "text", "text": "7?"}]
    joined, images = messages_and_images(task({"role": "user", "content": parts}))
    assert (joined, images) == ([{"role": "user", "content": "6 x 7?"}], ())
    for content, message in (
        ([{"type": "video"}], "neither text nor an image"),
        (["6 x 7?"], "neither"),
        (None, "no text"),
    ):
        with pytest.raises(ValueError, match=f"row 17: a message .*{message}"):
            messages_and_images(task({"role": "user", "content": content}))


def test_a_text_model_refuses_an_image():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(ValueError, match="row 17: the question contains an image, but the model reads only text"):
        prompt_builder().prompt(task({"role": "user", "content": [picture]}))


def test_without_a_user_message_there_is_no_place_for_the_hint():
    with pytest.raises(ValueError, match="row 17: there is no user message"):
        prompt_builder().with_hint(task({"role": "system", "content": "q"}), hint="42")


def test_without_a_chat_template_there_is_no_prompt():
    with pytest.raises(ValueError, match="no chat template"):
        PromptBuilder(tiny_tokenizer(chat_template=None), LengthLimits(200, 200)).prompt(
            task({"role": "user", "content": "q"})
        )
