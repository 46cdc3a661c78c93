"""Labels and help texts of the kinds of verifier. The ready-made verifiers come from the API, with examples."""

from typing import Any

KINDS = {
    "python": "Python",
    "regex": "Regular expression",
    "string_check": "Text comparison",
    "number": "Number",
    "math": "Mathematics",
    "choice": "Choice",
    "json_schema": "JSON schema",
    "text_similarity": "Similarity",
    "score_model": "Judge score",
    "label_model": "Judge label",
    "multi": "Combined",
}
KIND_HELP = {
    "python": "A function that takes the row and the text and returns a number, from 0 to 1 or in a range of its own.",
    "regex": "Finds the answer in the text. The group (?P<answer>…) is compared with the row's reference answer.",
    "string_check": "Compares the text with a value of the row, without code.",
    "number": "The number that is marked as the answer, or the last one, must equal the reference, within `tolerance`.",
    "math": "The text must be mathematically equal to the reference, in LaTeX or plain text (math-verify).",
    "choice": "The text must choose one of the `choices`, the same as the reference.",
    "json_schema": "The text must be JSON that matches the `schema`.",
    "text_similarity": "How similar the text is to the reference, by the `evaluation_metric`.",
    "score_model": "Another model, the judge that an administrator has configured, gives a number.",
    "label_model": "Another model, the judge that an administrator has configured, chooses one of the labels.",
    "multi": "Several named graders, and `calculate_output`, a formula over their scores.",
}
OPERATIONS = {"eq": "is equal to", "ne": "differs from", "like": "contains", "ilike": "contains, ignoring case"}
METRICS = {
    "fuzzy_match": "share of equal characters (fuzzy_match)",
    "bleu": "BLEU",
    "gleu": "GLEU",
    "meteor": "METEOR",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_3": "ROUGE-3",
    "rouge_4": "ROUGE-4",
    "rouge_5": "ROUGE-5",
    "rouge_l": "ROUGE-L",
}
SEVERAL: dict[str, Any] = {
    "graders": {
        "form": {"type": "regex", "pattern": "(?i)answer:"},
        "right": {"type": "regex", "pattern": r"(?i)answer:\s*(?P<answer>.+)"},
    },
    "calculate_output": "0.1 * form + 0.9 * right",
}
"""The initial content of a combined verifier."""
