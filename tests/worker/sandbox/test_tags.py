"""What a model means is found between whatever tags it writes: reasoning, answer, tokens at the ends of its turn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.sandbox.marked import answer_of

REASONING = (
    "",
    "<think>{}</think>",
    "{}\n</think>\n\n",
    "<thinking>\n{}\n</thinking>\n",
    "<thought>{}</thought>",
    "<REASONING>{}</REASONING>\n",
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<seed:think>{}</seed:think>",
    "<scratchpad>{}</scratchpad>",
    "<|START_THINKING|>{}<|END_THINKING|>",
    "<|begin_of_thought|>{}<|end_of_thought|>\n",
    "<start_working_out>{}<end_working_out>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "analysis{}assistantfinal",
    "<|channel>thought\n{}\n<channel|>",
    "<longcat_think>\n{}\n</longcat_think>\n",
    "Here is my thought process:\n{}\n\nHere is my response:\n",
    "Here's my thought process: {}\nHere's my response: ",
)
ANSWER = (
    "{}",
    "<answer>{}</answer>",
    "<Answer>\n{}\n</Answer>",
    "<final_answer>{}</final_answer>",
    "<FINAL>{}</FINAL>",
    "<SOLUTION>{}</SOLUTION>",
    "<response>{}</response>",
    "<output>The last one: <answer>{}</answer></output>",
    "<|begin_of_solution|>{}<|end_of_solution|>",
    "<|START_RESPONSE|>{}<|END_RESPONSE|>",
    "It is <|begin_of_box|>{}<|end_of_box|>",
)
STARTS = ("", "<|im_start|>assistant\n", "<s>", "<start_of_turn>model\n", "<｜Assistant｜>", "<|assistant|>")
STARTS += ("<|turn>model\n", "<longcat_s>")
ENDS = (
    *("", "\n", "<|im_end|>", "</s>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "<eos>"),
    *("<turn|>", "</longcat_s>", "<SPECIAL_12>", "<turn|>\n<|turn>user\nAnd 7 * 7?<turn|>"),
    *("<|return|>", "<|im_end|>\n<|im_start|>user\nAnd 7 * 7?<|im_end|>"),
)


@given(
    *(st.sampled_from(forms) for forms in (STARTS, REASONING, ANSWER, ENDS)), st.sampled_from(["42", "B", r"\frac12"])
)
def test_the_answer_is_what_stands_between_the_tags(start, reasoning, form, end, answer):
    text = start + reasoning.format("41, A or <answer>43</answer>?") + form.format(answer) + end
    assert answer_of(text)[0] == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>42</answer><reasoning>Not 41.</reasoning>", "42"),
        ("<think>42", "<think>42"),
        ("<think>42</think>", "<think>42</think>"),
        ("<solution>6 * 7</solution>\n42", "<solution>6 * 7</solution>\n42"),
        ("<answer>41</answer>\nNo.\n<answer>42</answer>", "42"),
        ("<answer>42", "<answer>42"),
        ("<|im_end|>", "<|im_end|>"),
        ("<|channel>thought\n<channel|>42<turn|>", "42"),
        ("It is 42.\n<|channel>thought\n43?\n<channel|><turn|>", "It is 42."),
        ("I wrote: here is my response: 42", "I wrote: here is my response: 42"),
    ],
)
def test_tags_that_leave_nothing_or_not_all_are_part_of_the_text(text, answer):
    assert answer_of(text)[0] == answer
