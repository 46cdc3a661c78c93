"""Requests as for OpenAI's reinforcement fine-tuning: rows with keys in addition to the messages, and graders."""

from typing import Any

ROWS = [
    {
        "messages": [{"role": "user", "content": f"May I keep {n} records?"}],
        "compliant": ("yes", "no")[n % 2],
        "explanation": f"The limit is {n + n % 2} records.",
    }
    for n in range(8)
]
TEXT = "{{sample.output_text}}"
CONTAINS: dict[str, Any] = {
    "type": "string_check",
    "name": "says",
    "input": TEXT,
    "reference": "{{item.compliant}}",
    "operation": "ilike",
}
SIMILARITY: dict[str, Any] = {
    "type": "text_similarity",
    "name": "alike",
    "input": TEXT,
    "reference": "{{item.explanation}}",
    "evaluation_metric": "fuzzy_match",
}
MULTI: dict[str, Any] = {
    "type": "multi",
    "name": "both",
    "graders": {"says": CONTAINS, "alike": SIMILARITY},
    "calculate_output": "0.5 * says + 0.5 * alike",
}
PYTHON: dict[str, Any] = {
    "type": "python",
    "name": "p",
    "source": "def grade(sample, item):\n"
    "    return min(1, len(sample['output_text']) / (len(item['explanation']) + 100))\n",
    "image_tag": "2025-05-08",
}
JUDGED: dict[str, Any] = {
    "type": "score_model",
    "name": "judge",
    "model": "m",
    "input": [{"role": "user", "content": f"{TEXT} {{{{item.explanation}}}}"}],
}
LABELS: dict[str, Any] = {**JUDGED, "type": "label_model", "labels": ["a", "b"], "passing_labels": ["a"]}
FORM_ONLY: dict[str, Any] = {"type": "json_schema", "name": "form", "schema": {"type": "object"}}


def body(file_id: str, *, grader: dict[str, Any] = MULTI, **hyperparameters: Any) -> dict[str, Any]:
    reinforcement = {"grader": grader, "hyperparameters": {"n_epochs": 1, "batch_size": 2, **hyperparameters}}
    return {
        "model": "tests/tiny",
        "training_file": file_id,
        "method": {"type": "reinforcement", "reinforcement": reinforcement},
        "seed": 1,
    }
