"""The answer follows the word "answer"."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

VERIFIER = ReadyMade(
    id="answer-pattern",
    name="“answer: …” by pattern",
    use="Completions that reason first and end with “Answer: …”. No code.",
    grader={"type": "regex", "pattern": r"(?im)^.*answer\s*(?:is|:|=)\s*(?P<answer>.+?)\.?\s*$"},
    examples=(
        Example({"answer": "42"}, "Six times seven.\nThe answer is 42.", 1.0),
        Example({"answer": "42"}, "ANSWER: 41", 0.0),
        Example({"answer": "42"}, "42", 0.0),
    ),
)
