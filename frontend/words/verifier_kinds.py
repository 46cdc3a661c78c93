"""The kinds of verifier in the words of the pages. Those to start from come from the API, with their examples."""

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
    "score_model": "Judge's score",
    "label_model": "Judge's label",
    "multi": "Several",
}
KIND_HELP = {
    "python": "A function that gets the row and the text and returns a number, most often 0 to 1.",
    "regex": "Finds the answer in the text. The group (?P<answer>…) is compared with the row's reference answer.",
    "string_check": "Compares the text with a value of the row, without code.",
    "number": "The last number of the text is the reference's, within `tolerance` and in any of the `units`.",
    "math": "The text and the reference are mathematically equal, in LaTeX or plain, by math-verify.",
    "choice": "The text settles on one of the `choices`, and it is the reference.",
    "json_schema": "The text is JSON that the `schema` admits.",
    "text_similarity": "How alike the text and the reference are, by the `evaluation_metric`.",
    "score_model": "Another model, the judge that an administrator has set, answers with a number.",
    "label_model": "Another model, the judge that an administrator has set, answers with one of the labels.",
    "multi": "Several graders by name, and `calculate_output`, a formula over their scores.",
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
"""What a verifier of several begins with."""
