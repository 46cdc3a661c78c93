"""A verifier that accepts a completion if its last number is the answer."""

import re
from typing import Any


def grade(item: dict[str, Any], output_text: str) -> float:
    """Return 1.0 or 0.0. Commas may separate thousands: `-1,024` is -1024."""
    numbers = re.findall(r"(?<![\w.])[-+]?\d[\d,]*(?:\.\d+)?", output_text)
    return float(bool(numbers) and float(numbers[-1].replace(",", "")) == float(item["answer"]))
