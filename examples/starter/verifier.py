"""A verifier that accepts a last line `Answer: VALUE` with the row's answer. The look-ups are not graded."""

import re
from typing import Any


def grade(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """Return 1.0 or 0.0."""
    last_line = sample["output_text"].rstrip().split("\n")[-1]
    stated = re.fullmatch(r"Answer: *(?P<answer>.*?)\.?", last_line)
    return float(stated is not None and stated["answer"].strip() == item["answer"])
