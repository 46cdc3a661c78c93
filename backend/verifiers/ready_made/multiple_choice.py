"""Multiple choice by letter."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

VERIFIER = ReadyMade(
    id="multiple-choice",
    name="Multiple choice",
    use="Questions with options A, B, C …: compares the option that the completion chooses.",
    grader={"type": "choice", "choices": ["A", "B", "C", "D"]},
    examples=(
        Example({"answer": "B"}, "Not A, so the answer is (B).", 1.0),
        Example({"answer": "B"}, r"\boxed{B}", 1.0),
        Example({"answer": "B"}, "C", 0.0),
        Example({"answer": "B"}, "A. one\nB. two\nC. three\nD. four", 0.0),
    ),
)
