"""Which languages a file's questions are in, told from a sample of them by py3langid.

A few words and formulas are in no language that could be told; those are counted as such.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from py3langid.langid import MODEL_FILE, LanguageIdentifier

SAMPLED = 1000
LOOKED_AT_CHARACTERS = 500
LEAST_LETTERS = 12
LEAST_LIKELY = 0.25
UNKNOWN = "und"
"""ISO 639's code for an undetermined language."""
LETTER = re.compile(r"[^\W\d_]")
IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Of which few make a sentence."""


@lru_cache(maxsize=1)
def identifier() -> Any:
    """The model, 75 MB once it is loaded, which takes most of a second."""
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language_of(text: str) -> str:
    """The ISO 639-1 code of the language of a text, `und` where it cannot be told."""
    text = text[:LOOKED_AT_CHARACTERS]
    if len(LETTER.findall(text)) + 4 * len(IDEOGRAPH.findall(text)) < LEAST_LETTERS:
        return UNKNOWN
    code, likely = identifier().classify(text)
    return str(code) if likely >= LEAST_LIKELY else UNKNOWN


@dataclass(slots=True)
class Languages:
    """A sample of the texts that pass, each as likely to be in it as any other; the same for the same texts."""

    seen: int = 0
    sample: list[str] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(0))  # noqa: S311 - a sample, no secret

    def see(self, text: str) -> None:
        self.seen += 1
        if len(self.sample) < SAMPLED:
            self.sample.append(text[:LOOKED_AT_CHARACTERS])
        elif (place := self.chance.randrange(self.seen)) < SAMPLED:
            self.sample[place] = text[:LOOKED_AT_CHARACTERS]

    def to_json(self) -> dict[str, Any]:
        """`{checked, found: [{language, rows}]}`, the most frequent first."""
        counts = Counter(map(language_of, self.sample))
        found = [{"language": language, "rows": rows} for language, rows in counts.most_common()]
        return {"checked": len(self.sample), "found": found}
