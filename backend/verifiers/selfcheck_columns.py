"""Columns that the source of a Python verifier looks up and that no row has. Pure."""

import ast
from collections.abc import Iterator, Mapping, Sequence

from backend.core.verdict import Finding, Level
from backend.verifiers import specs
from backend.verifiers.calls import OF_BATCH_TRAINERS
from backend.verifiers.probes import ProbeRow
from backend.verifiers.reading import graders_of
from backend.verifiers.signatures import REFERENCE_COLUMNS
from backend.verifiers.source import parse_source
from backend.verifiers.specs import Spec

MOST_NAMED = 20


def column_findings(rows: Sequence[ProbeRow], *, spec: Spec) -> Iterator[Finding]:
    """Report each: `kwargs.get("label")` gives None or a default for every row, and wrong and right answers alike."""
    present = {name for row in rows for name in row.item}
    has_answers = any(row.answer is not None for row in rows)
    known = ", ".join(sorted(present)[:MOST_NAMED]) or "none"
    for part in graders_of(spec):
        for name in (
            _looked_up(part, present=present, has_answers=has_answers) if isinstance(part, specs.Python) else ()
        ):
            message = f"The source asks for the column '{name:.60}', which no row has (columns: {known:.400})."
            yield Finding("absent_column", Level.WARN, message)


def _looked_up(part: specs.Python, *, present: set[str], has_answers: bool) -> list[str]:
    """Return the absent columns, unless the source asks whether they are there, or looks up another one instead."""
    nodes = list(ast.walk(parse_source(part.source)))
    entry = part.entry_point
    items = {name for name, value in entry.arguments.items() if value == "item"}
    others = {node.args.kwarg.arg for node in nodes if isinstance(node, ast.FunctionDef) and node.args.kwarg}
    given = present | (set(REFERENCE_COLUMNS) if has_answers else set())
    of_rows = dict.fromkeys(items, present) | (dict.fromkeys(others, given) if entry.every_column else {})
    asked = {name for node in nodes for name in _asked_for(node)}
    alternatives = [found for node in nodes if (found := _alternatives(node, of_rows=of_rows))]
    absent = [
        name
        for row, name in dict.fromkeys(pair for found in alternatives for pair in found)
        if not any((row, name) in found and _any_given(found, of_rows=of_rows) for found in alternatives)
    ]
    return [name for name in dict.fromkeys(absent) if name not in asked and name not in OF_BATCH_TRAINERS]


def _any_given(found: Sequence[tuple[str, str]], *, of_rows: Mapping[str, set[str]]) -> bool:
    return any(name in of_rows[row] for row, name in found)


def _alternatives(node: ast.AST, *, of_rows: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Return the look-ups, as (row, column), of which one stands for all: those of `or` and of a default, or one."""
    if isinstance(node, ast.BoolOp | ast.IfExp) or _look_up(node) is not None:
        return [pair for inner in ast.walk(node) if (pair := _look_up(inner)) is not None and pair[0] in of_rows]
    return []


def _look_up(node: ast.AST) -> tuple[str, str] | None:
    """Return (row, column) of `row["column"]` or `row.get("column")`. A number or text as default is a setting's."""
    match node:
        case ast.Subscript(value=ast.Name(id=row), slice=ast.Constant(value=str() as name), ctx=ast.Load()):
            return row, name
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=row), attr="get"), args=[ast.Constant(value=str() as name), *rest]
        ) if not any(isinstance(value, ast.Constant) and value.value is not None for value in rest):
            return row, name
    return None


def _asked_for(node: ast.AST) -> Iterator[str]:
    """Yield the columns that the source asks for by `in`, or looks up only where something else is missing."""
    match node:
        case ast.Compare(left=ast.Constant(value=str() as name), ops=[ast.In() | ast.NotIn()]):
            yield name
        case ast.If(test=ast.UnaryOp(op=ast.Not()) | ast.Compare(ops=[ast.Is()])):
            yield from (pair[1] for inner in ast.walk(node) if (pair := _look_up(inner)) is not None)
