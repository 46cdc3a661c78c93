"""Full marks when the last line is `Answer: VALUE` and VALUE is the row's answer. The look-ups are not graded."""

import re
from typing import Any


def grade(sample: dict[str, Any], item: dict[str, Any]) -> float:
    """1.0 or 0.0."""
    lines = sample["output_text"].strip().splitlines() or [""]
    stated = re.fullmatch(r"Answer: *(?P<answer>.*?)\.?", lines[-1].rstrip())
    return float(stated is not None and stated["answer"] == item["answer"])
