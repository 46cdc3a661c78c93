"""A small score for the format, the rest for the answer in it."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

FORM = r"(?s)\A(?:\s*<think>)?(?:(?!</?think>).)+</think>\s*<answer>[^<]+</answer>\s*\Z"
"""The opening tag may be in the prompt: templates of models that always reason end in it."""

VERIFIER = ReadyMade(
    id="format-and-answer",
    name="Format plus answer",
    use="Teaches the format <think>…</think><answer>…</answer> first, then the answer, with two graders and a formula. "
    "Full marks also without the first tag, since some chat templates write it.",
    grader={
        "type": "multi",
        "graders": {
            "form": {"type": "regex", "pattern": FORM},
            "right": {"type": "regex", "pattern": r"<answer>(?P<answer>[^<]+)</answer>\s*\Z"},
        },
        "calculate_output": "0.1 * form + 0.9 * right",
    },
    examples=(
        Example({"answer": "42"}, "<think>6 * 7</think><answer>42</answer>", 1.0),
        Example({"answer": "42"}, "<think>6 * 7</think>\n<answer>41</answer>", 0.1),
        Example({"answer": "42"}, "6 * 7\n</think>\n\n<answer>42</answer>", 1.0),
        Example({"answer": "42"}, "<think>6 * 7</think></think><answer>42</answer>", 0.9),
        Example({"answer": "42"}, "<answer>42</answer>", 0.9),
        Example({"answer": "42"}, "42", 0.0),
    ),
)
