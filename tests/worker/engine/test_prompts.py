"""What student and teacher read."""

import pytest

from tests.worker.engine.tiny import tiny_tasks, tiny_tokenizer
from worker.engine.prompts import encode, prepare, text_messages, with_hint
from worker.engine.types import Task

LIMITS = {"max_prompt_tokens": 200, "max_context_tokens": 200}


def task(*messages, answer="42", solution="six times seven is 42"):
    return Task(row=17, messages=messages, answer=answer, solution=solution, item={})


def test_the_teachers_prompt_is_the_students_with_one_block_in_the_last_user_message():
    tokenizer = tiny_tokenizer()
    (prompt,) = prepare(
        [
            task(
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": "Hi"},
                {"role": "user", "content": "6 x 7?"},
            )
        ],
        tokenizer=tokenizer,
        hint="solution",
        **LIMITS,
    )
    student, teacher = tokenizer.decode(prompt.student_ids), tokenizer.decode(prompt.teacher_ids)
    assert student.endswith("6 x 7?<|end|><|assistant|>")
    assert teacher == student.replace("6 x 7?", "6 x 7?\n\nReference:\nsix times seven is 42")
    assert "42" not in student


def test_only_what_is_asked_for_is_hinted():
    tokenizer, row = tiny_tokenizer(), task({"role": "user", "content": "6 x 7?"})
    (by_answer,) = prepare([row], tokenizer=tokenizer, hint="answer", **LIMITS)
    (without,) = prepare([row], tokenizer=tokenizer, hint=None, **LIMITS)
    assert "six times" not in tokenizer.decode(by_answer.teacher_ids)
    assert tokenizer.decode(by_answer.teacher_ids).endswith("Reference:\n42<|end|><|assistant|>")
    assert without.teacher_ids is None


def test_the_messages_of_the_row_are_left_as_they_were():
    messages = [{"role": "user", "content": "q"}]
    with_hint(messages, hint="secret", row=1)
    assert messages == [{"role": "user", "content": "q"}]


@pytest.mark.parametrize("missing", [None, "", "  \n"])
def test_a_missing_hint_is_an_error_naming_the_row(missing):
    with pytest.raises(ValueError, match="row 17 has no solution"):
        prepare(
            [*tiny_tasks(3), task({"role": "user", "content": "q"}, solution=missing)],
            tokenizer=tiny_tokenizer(),
            hint="solution",
            **LIMITS,
        )


@pytest.mark.parametrize(
    ("limits", "hint", "words"),
    [
        ({"max_prompt_tokens": 5, "max_context_tokens": 500}, None, r"row 17: the prompt has \d+ tokens.* = 5"),
        ({"max_prompt_tokens": 40, "max_context_tokens": 500}, "solution", r"row 17: the prompt with its hint"),
        ({"max_prompt_tokens": 500, "max_context_tokens": 5}, None, r"row 17: .* the model's context leaves 5"),
    ],
)
def test_a_prompt_that_is_too_long_is_an_error_naming_the_row(limits, hint, words):
    with pytest.raises(ValueError, match=words):
        prepare([task({"role": "user", "content": "6 x 7?"})], tokenizer=tiny_tokenizer(), hint=hint, **limits)


def test_text_parts_are_joined_and_other_parts_refused():
    parts = [{"type": "text", "text": "6 x "}, {"type": "text", "text": "7?"}]
    assert text_messages(task({"role": "user", "content": parts})) == [{"role": "user", "content": "6 x 7?"}]
    with pytest.raises(ValueError, match="row 17: a message part is not text"):
        text_messages(task({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}))
    with pytest.raises(ValueError, match="row 17: a message has no text"):
        text_messages(task({"role": "user", "content": None}))


def test_without_a_user_message_there_is_no_place_for_the_hint():
    with pytest.raises(ValueError, match="row 17: there is no user message"):
        prepare([task({"role": "system", "content": "q"})], tokenizer=tiny_tokenizer(), hint="answer", **LIMITS)


def test_without_a_chat_template_there_is_no_prompt():
    with pytest.raises(ValueError, match="no chat template"):
        encode(tiny_tokenizer(chat_template=None), [{"role": "user", "content": "q"}])
