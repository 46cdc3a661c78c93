"""The languages of a file's questions, identified by py3langid on a sample.

Texts too short to identify, such as formulas, count as undetermined.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

SAMPLED = 1000
IDENTIFIED_CHARACTERS = 500
MIN_LETTERS = 12
MIN_PROBABILITY = 0.25
UNKNOWN = "und"
"""ISO 639's code for an undetermined language."""
LETTER = re.compile(r"[^\W\d_]")
IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Each counts as several letters: few of them make a sentence."""


@lru_cache(maxsize=1)
def identifier() -> Any:
    """Load the model: 75 MB, most of a second."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of a text's language, `und` where it cannot be identified."""
    text = text[:IDENTIFIED_CHARACTERS]
    if len(LETTER.findall(text)) + 4 * len(IDEOGRAPH.findall(text)) < MIN_LETTERS:
        return UNKNOWN
    code, probability = identifier().classify(text)
    return str(code) if probability >= MIN_PROBABILITY else UNKNOWN


@dataclass(slots=True)
class Languages:
    """A uniform reservoir sample of the texts; the same texts give the same sample."""

    count: int = 0
    sample: list[str] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - a sample, no secret

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.sample) < SAMPLED:
            self.sample.append(text[:IDENTIFIED_CHARACTERS])
        elif (index := self.rng.randrange(self.count)) < SAMPLED:
            self.sample[index] = text[:IDENTIFIED_CHARACTERS]

    def to_json(self) -> dict[str, Any]:
        """Return `{checked, found: [{language, rows}]}`, the most frequent first."""
        counts = Counter(map(language_of, self.sample))
        found = [{"language": language, "rows": rows} for language, rows in counts.most_common()]
        return {"checked": len(self.sample), "found": found}
