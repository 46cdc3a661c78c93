"""The answer follows ####, as in GSM8K."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

VERIFIER = ReadyMade(
    id="hashes",
    name="#### at the end (GSM8K)",
    use="Models trained to end with “#### 42”. No code.",
    grader={"type": "regex", "pattern": r"####\s*(?P<answer>[^\n]+)"},
    examples=(
        Example({"answer": "42"}, "6 * 7 = 42\n#### 42", 1.0),
        Example({"answer": "42"}, "#### 41", 0.0),
        Example({"answer": "42"}, "42", 0.0),
    ),
)
