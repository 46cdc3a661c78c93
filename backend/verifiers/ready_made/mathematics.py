"""Mathematical equality in any notation."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

VERIFIER = ReadyMade(
    id="mathematics",
    name="Mathematics",
    use="Formulas, fractions, sets and intervals in LaTeX or plain text, compared by math-verify.",
    grader={"type": "math"},
    examples=(
        Example({"answer": r"\frac{1}{2}"}, r"So it is $\boxed{0.5}$", 1.0),
        Example({"answer": "$x^2 - 1$"}, "$(x - 1)(x + 1)$", 1.0),
        Example({"answer": "1/2"}, "The result is 2", 0.0),
        Example({"answer": "1/2"}, "", 0.0),
    ),
)
