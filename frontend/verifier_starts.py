"""The kinds of verifier in the words of the pages. Those to start from come from the API, with their examples."""

KINDS = {
    "python": "Python",
    "regex": "Regular expression",
    "string_check": "Text comparison",
    "number": "Number",
    "math": "Mathematics",
    "choice": "Choice",
    "json_schema": "JSON schema",
    "text_similarity": "Similarity",
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
    "multi": "Several graders by name, and `calculate_output`, a formula over their scores.",
}
OPERATIONS = {"eq": "is equal to", "ne": "differs from", "like": "contains", "ilike": "contains, ignoring case"}
BLANKS: dict[str, dict[str, object]] = {
    "number": {"tolerance": 0, "units": {}},
    "math": {},
    "choice": {"choices": ["A", "B", "C", "D"]},
    "json_schema": {"schema": {"type": "object", "required": []}},
    "text_similarity": {
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "evaluation_metric": "fuzzy_match",
    },
    "multi": {
        "graders": {
            "form": {"type": "regex", "pattern": "(?i)answer:"},
            "right": {"type": "regex", "pattern": r"(?i)answer:\s*(?P<answer>.+)"},
        },
        "calculate_output": "0.1 * form + 0.9 * right",
    },
}
"""What a kind that is edited as JSON begins with."""
