"""Inside: what a verifier's names are bound to once its module has run, and how each is called."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.errors import AppError
from backend.verifiers.calls import Call, Parameters, require_fitting
from worker.sandbox.scorers import GradeError

_KINDS = inspect.Parameter


@dataclass(frozen=True, slots=True)
class Bound:
    """A callable of the verifier, and how it is called."""

    target: Callable[..., Any]
    call: Call


def bound_calls(namespace: Mapping[str, Any], entries: Sequence[Mapping[str, Any]]) -> list[Bound]:
    """Look up the entries `{"function", "line", "parameters", "certain"}`, and create an instance of a class.

    Raises GradeError for what has no known signature.
    """
    found = [_bound(namespace, entry) for entry in entries]
    if len(found) > 1 and not all(bound.call.signature.columns for bound in found):
        raise GradeError("only functions that return scores for a whole batch are summed")
    return found


def _bound(namespace: Mapping[str, Any], entry: Mapping[str, Any]) -> Bound:
    name = entry["function"]
    if name not in namespace:
        raise GradeError(f"the source does not define '{name}' when it runs")
    target = namespace[name]
    if isinstance(target, type):
        target = target()
    shown = None if entry["parameters"] is None else Parameters.from_json(entry["parameters"])
    parameters = shown if shown is not None and entry["certain"] else _parameters(target, shown=shown)
    try:
        return Bound(target, require_fitting(parameters, name=name, line=entry["line"]))
    except AppError as error:
        raise GradeError(error.message) from None


def _parameters(target: object, *, shown: Parameters | None) -> Parameters:
    """Return the callable's own parameters; if it takes anything, as a wrapper does, those of what it wraps.

    `shown`: those that the source shows, for a wrapper that hides what it wraps.
    """
    if not callable(target):
        raise GradeError(f"'{type(target).__name__}' cannot be called")
    try:
        own = _of(inspect.signature(target, follow_wrapped=False))
        if not own.generic:
            return own
        wrapped = _of(inspect.signature(target))
    except (ValueError, TypeError):  # of C, without a signature
        own = wrapped = Parameters(every=True)
    return wrapped if not wrapped.generic or shown is None else shown


def _of(signature: inspect.Signature) -> Parameters:
    named = [p for p in signature.parameters.values() if p.kind not in (_KINDS.VAR_POSITIONAL, _KINDS.VAR_KEYWORD)]
    return Parameters(
        positional=tuple(p.name for p in named if p.kind is not _KINDS.KEYWORD_ONLY),
        keyword_only=tuple(p.name for p in named if p.kind is _KINDS.KEYWORD_ONLY),
        required=frozenset(p.name for p in named if p.default is _KINDS.empty),
        every=any(p.kind is _KINDS.VAR_KEYWORD for p in signature.parameters.values()),
        positional_only=frozenset(p.name for p in named if p.kind is _KINDS.POSITIONAL_ONLY),
    )
