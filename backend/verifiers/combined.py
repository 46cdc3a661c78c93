"""The spec that combines others: OpenAI's `multi`."""

import re
from typing import Literal

from pydantic import Field, model_validator

from backend.verifiers.answers import ChoiceGrader, JsonSchema, Math, Number
from backend.verifiers.formula import Formula, FormulaError, parse_formula
from backend.verifiers.grader import FieldError, Grader, ScoreRange
from backend.verifiers.judged import LabelModel, ScoreModel
from backend.verifiers.programs import Python
from backend.verifiers.texts import Regex, StringCheck, TextSimilarity

MAX_GRADERS = 20
GRADER_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
Single = (
    StringCheck | TextSimilarity | Regex | Python | Number | Math | ChoiceGrader | JsonSchema | ScoreModel | LabelModel
)


class Multi(Grader):
    """A grader whose score is the formula `calculate_output` over the scores of `graders` (formula.py).

    It has a score if all its graders have one; the error, timeout or abstention of one becomes its own. Each grader
    keeps its own range, and `range` is that of the formula's value.
    """

    type: Literal["multi"]
    graders: dict[str, Single] = Field(min_length=1, max_length=MAX_GRADERS)
    calculate_output: str = Field(min_length=1)
    range: ScoreRange | None = None
    """Lowest and highest score, by default 0 to 1."""

    @model_validator(mode="after")
    def _formula_parses(self) -> "Multi":
        try:
            self.formula()
        except FormulaError as error:
            raise FieldError("calculate_output", str(error)) from error
        return self

    @property
    def bounds(self) -> tuple[float, float]:
        return self.range or (0.0, 1.0)

    def formula(self) -> Formula:
        return parse_formula(self.calculate_output, names=self.graders)

    @property
    def templates(self) -> dict[str, str]:
        return {
            f"graders.{name}.{field}": template
            for name, grader in self.graders.items()
            for field, template in grader.templates.items()
        }

    @property
    def implicit_references(self) -> tuple[str, ...]:
        return tuple(
            f"graders.{name}.{field}" for name, grader in self.graders.items() for field in grader.implicit_references
        )

    @property
    def required_libraries(self) -> frozenset[str]:
        return frozenset[str]().union(*(grader.required_libraries for grader in self.graders.values()))
