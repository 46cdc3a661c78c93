"""The spec of a verifier in Python."""

import re
from typing import Literal

from pydantic import Field, field_validator

from backend.errors import AppError
from backend.verifiers import libraries
from backend.verifiers.entry_points import EntryPoint, entry_point
from backend.verifiers.grader import Grader, ScoreRange
from backend.verifiers.isolation import shares_process
from backend.verifiers.message_patterns import require_no_message_patterns
from backend.verifiers.source import check_compiles, parse_source

_RANDOM = re.compile(r"\brandom\b")


class Python(Grader):
    """A user's function, called in the sandbox; see signatures.py for its parameters.

    It returns a number (a bool counts as 1 or 0), None to abstain, or `{"score": number or None, "components": {name:
    number}, "reason": text}`, where the last two are optional. Anything else, including NaN, is an error.
    """

    type: Literal["python"]
    source: str = Field(min_length=1)
    range: ScoreRange | None = None
    """Lowest and highest score. By default 0 to 1; if n functions are added up, 0 to n."""
    image_tag: Literal["2025-05-08"] | None = None
    """OpenAI's library image. It has no effect here: the server's libraries are used (`reading.remarks`)."""
    isolation: Literal["auto", "call"] = "auto"
    """`call`: one process per call. `auto`: likewise, unless the source is plain (isolation.py). This keeps rows apart,
    not code of the model from its score: for that, see `runs_model_code`."""

    @field_validator("source")
    @classmethod
    def _source_has_an_entry_point(cls, source: str) -> str:
        source = source.removeprefix("\ufeff")  # the byte order mark of some editors
        try:
            entry, tree = entry_point(source), parse_source(source)
            check_compiles(source)
            libraries.require_importable(tree)
            require_no_message_patterns(tree, entry)
        except AppError as error:
            raise ValueError(error.message) from error
        return source

    @property
    def bounds(self) -> tuple[float, float]:
        return self.range or (0.0, float(len(self.entry_point.entries)))

    @property
    def entry_point(self) -> EntryPoint:
        return entry_point(self.source)

    @property
    def may_take_batches(self) -> bool:
        """Whether several rows may be given to one call: not if it names `random`, whose numbers follow the rows."""
        return self.entry_point.may_take_batches and not _RANDOM.search(self.source)

    @property
    def one_process_per_call(self) -> bool:
        return self.isolation == "call" or not shares_process(parse_source(self.source))

    @property
    def runs_model_code(self) -> bool:
        """Whether it imports `model_code`, by which the sandbox runs code that a model wrote in another process."""
        return libraries.imports_model_code(parse_source(self.source))

    @property
    def required_libraries(self) -> frozenset[str]:
        return libraries.libraries_of(parse_source(self.source))
