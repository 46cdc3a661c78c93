"""Overlap of the text with the wording of the reference."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

VERIFIER = ReadyMade(
    id="similar-text",
    name="Similar wording (ROUGE-L)",
    use="Summaries and free-form answers with a reference text. A weak signal: it measures wording, not truth.",
    grader={
        "type": "text_similarity",
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": "rouge_l",
    },
    examples=(
        Example({"answer": "the invoice is overdue"}, "The invoice is overdue.", 1.0),
        Example({"answer": "the invoice is overdue"}, "the invoice", 2 / 3),
        Example({"answer": "the invoice is overdue"}, "hello", 0.0),
    ),
)
