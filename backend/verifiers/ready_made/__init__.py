"""Ready-made verifiers, one per file: a complete grader, and examples that also serve as its tests."""

from backend.verifiers.ready_made import (
    answer_pattern,
    contains,
    date,
    exact,
    format_and_answer,
    hashes,
    json_with_schema,
    mathematics,
    multiple_choice,
    number_with_units,
    openai_signature,
    partial_number,
    same_items,
    similar_text,
    sql_result,
    unit_tests,
)
from backend.verifiers.ready_made.kind import Example, ReadyMade

__all__ = ["READY_MADE", "Example", "ReadyMade"]

READY_MADE: tuple[ReadyMade, ...] = (
    exact.VERIFIER,
    partial_number.VERIFIER,
    number_with_units.VERIFIER,
    mathematics.VERIFIER,
    multiple_choice.VERIFIER,
    answer_pattern.VERIFIER,
    hashes.VERIFIER,
    format_and_answer.VERIFIER,
    json_with_schema.VERIFIER,
    same_items.VERIFIER,
    date.VERIFIER,
    sql_result.VERIFIER,
    unit_tests.VERIFIER,
    contains.VERIFIER,
    similar_text.VERIFIER,
    openai_signature.VERIFIER,
)
"""In the order in which the UI lists them."""
