"""Specs that compare texts: `string_check`, `text_similarity`, `regex`."""

import re
import warnings
from typing import Literal

from pydantic import Field, field_validator, model_validator

from backend.verifiers.grader import OUTPUT_TEXT, FieldError, TemplateText, TextGrader, require_libraries

MAX_PATTERN_CHARS = 10_000
ANSWER_GROUP = "answer"
FLAGS = {"a": re.ASCII, "i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}


class StringCheck(TextGrader):
    """Compares two texts. `like` and `ilike`: the input contains the reference, case-sensitive or not."""

    type: Literal["string_check"]
    input: TemplateText
    reference: TemplateText
    operation: Literal["eq", "ne", "like", "ilike"]

    @field_validator("operation", mode="before")
    @classmethod
    def _neq_is_ne(cls, operation: object) -> object:
        return "ne" if operation == "neq" else operation


Metric = Literal[
    "fuzzy_match", "bleu", "gleu", "meteor", "cosine", "rouge_1", "rouge_2", "rouge_3", "rouge_4", "rouge_5", "rouge_l"
]


class TextSimilarity(TextGrader):
    """Similarity of two texts, 0 to 1, by a reference library.

    `fuzzy_match`: `fuzz.ratio` of rapidfuzz. `bleu`: `sentence_bleu` of sacrebleu. `gleu` and `meteor`: nltk, on words
    split at white space, METEOR without synonyms (exact words and stems). `rouge_*`: F-measure of rouge-score without
    stemming.
    """

    type: Literal["text_similarity"]
    input: TemplateText
    reference: TemplateText
    evaluation_metric: Metric

    @field_validator("evaluation_metric")
    @classmethod
    def _no_embeddings(cls, metric: Metric) -> Metric:
        if metric == "cosine":
            raise ValueError(
                "'cosine' compares embeddings, which are not supported; use fuzzy_match, bleu, gleu, meteor, rouge_1 "
                "to rouge_5 or rouge_l"
            )
        return metric

    @model_validator(mode="after")
    def _libraries_are_there(self) -> "TextSimilarity":
        require_libraries(self)
        return self

    @property
    def required_libraries(self) -> frozenset[str]:
        libraries = {"fuzzy_match": "rapidfuzz", "bleu": "sacrebleu", "gleu": "nltk", "meteor": "nltk"}
        return frozenset({libraries.get(self.evaluation_metric, "rouge_score")})


class Regex(TextGrader):
    """The first match of `pattern` in `input`. Its group `answer`, if there is one, is compared (both stripped) with
    `reference`, by default the row's answer; without that group a match scores 1.
    """

    type: Literal["regex"]
    pattern: str = Field(min_length=1, max_length=MAX_PATTERN_CHARS)
    input: TemplateText = OUTPUT_TEXT
    flags: str = ""
    """Letters of `aimsx`, as in Python's `(?imsx)`."""

    @field_validator("flags")
    @classmethod
    def _flags_exist(cls, flags: str) -> str:
        unknown = sorted(set(flags) - set(FLAGS))
        if unknown:
            raise ValueError(f"unknown flag '{unknown[0]}'; flags are letters of {''.join(FLAGS)}")
        return flags

    @model_validator(mode="after")
    def _pattern_compiles(self) -> "Regex":
        try:
            self.compiled()
        except re.error as error:
            place = "" if error.pos is None else f" at position {error.pos}"
            raise FieldError("pattern", f"not a regular expression: {error.msg}{place}") from error
        except (RecursionError, OverflowError) as error:
            raise FieldError("pattern", f"not a regular expression: {error}") from error
        if self.reference is not None and not self.needs_reference:
            raise FieldError(
                "reference", f"only a named group is compared with it: use (?P<{ANSWER_GROUP}>…) in the pattern"
            )
        return self

    @property
    def flag_bits(self) -> int:
        return sum(FLAGS[letter].value for letter in set(self.flags))

    def compiled(self) -> re.Pattern[str]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return re.compile(self.pattern, self.flag_bits)

    @property
    def needs_reference(self) -> bool:
        return ANSWER_GROUP in self.compiled().groupindex
