"""Choose what of a Python verifier is called, and refuse what nothing can call, by its source. Nothing is run.

`grade` is called whatever it is bound to. Without it, what is registered with ms-swift, or the one callable that has a
known signature and that no other one uses; several of TRL's are all called and their scores summed, as TRL does with
equal weights.
"""

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from backend.errors import AppError
from backend.verifiers.calls import OF_BATCH_TRAINERS, ONLY_IN_A_TRAINER, Call, Parameters, fitting, require_fitting
from backend.verifiers.definitions import Callable, Definitions, Function
from backend.verifiers.signatures import Signature
from backend.verifiers.source import parse_source

GRADE, VERL = "grade", "compute_score"
"""The name that is called before all others, and verl's, which decides among several."""
_DRIVER = re.compile(r"_*(?:test|evaluate|main|demo)(?:_|$)")
"""Names of functions that try a verifier out rather than being one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name of the source that is called. `parameters` as far as the source shows them; without a `call`, the sandbox
    finds out how it is called.
    """

    function: str
    line: int
    parameters: Parameters | None
    call: Call | None
    certain: bool
    """Whether what runs must have these parameters."""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """What is called for a row or a batch. The scores of several entries are summed."""

    entries: tuple[Entry, ...]

    @property
    def calls(self) -> tuple[Call, ...]:
        """Those known from the source."""
        return tuple(entry.call for entry in self.entries if entry.call is not None)

    @property
    def known(self) -> bool:
        """Whether the source shows all arguments."""
        return all(entry.certain for entry in self.entries)

    @property
    def function(self) -> str:
        """Names of what is called."""
        return " + ".join(entry.function for entry in self.entries)

    @property
    def line(self) -> int:
        return self.entries[0].line

    @property
    def signature(self) -> Signature | None:
        """None if only the sandbox can tell."""
        return self.calls[0].signature if self.calls else None

    @property
    def may_take_batches(self) -> bool:
        return not self.known or any(call.signature.columns for call in self.calls)

    @property
    def may_read_prompt(self) -> bool:
        return not self.known or not {"prompt", "prompt_text"}.isdisjoint(self.arguments.values())

    @property
    def may_read_messages(self) -> bool:
        return any(
            entry.call is None or not {"prompt", "completion"}.isdisjoint(entry.call.arguments.values())
            for entry in self.entries
        )

    @property
    def arguments(self) -> dict[str, str]:
        """Of all calls together."""
        return {name: value for call in self.calls for name, value in call.arguments.items()}

    @property
    def required_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for call in self.calls for name in call.required_columns))

    @property
    def optional_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for call in self.calls for name in call.optional_columns))

    @property
    def every_column(self) -> bool:
        return any(call.every_column for call in self.calls)


@lru_cache(maxsize=64)
def entry_point(source: str) -> EntryPoint:
    """Return what the source defines to be called. Raises AppError(400) that names the line to change."""
    tree = parse_source(source)
    _refuse_trainers_look_ups(tree)
    found = Definitions(tree)
    if GRADE in found:
        grade = found.resolved(GRADE)
        if grade is None:
            raise AppError(
                f"Line {found.line(GRADE)}: the parameters of 'grade' cannot be read from the source: define it with "
                "'def grade(item, output_text)', which may call what it is bound to now.",
                code="unknown_signature",
            )
        return EntryPoint((_entry(found, GRADE, grade),))
    candidates = found.candidates()
    registered = {name: candidates[name] for name in found.registered if name in candidates}
    if registered:
        return EntryPoint(tuple(_entry(found, name, callable_) for name, callable_ in registered.items()))
    if not candidates:
        raise AppError(
            "The source defines no function at top level; it starts for example with 'def grade(item, output_text)'.",
            code="no_function",
        )
    names = _chosen(candidates, uses=found.uses()) or [_to_refuse(found, candidates)]
    return EntryPoint(tuple(_entry(found, name, candidates[name]) for name in names))


def _refuse_trainers_look_ups(tree: ast.Module) -> None:
    """Raise AppError(400) for `kwargs["trainer_state"]`, unless the source asks elsewhere whether it is there."""
    nodes = list(ast.walk(tree))
    rest = {node.args.kwarg.arg for node in nodes if isinstance(node, Function) and node.args.kwarg is not None}
    named = Counter(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    for node in nodes:
        match node:
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str() as key)) if (
                name in rest and key in OF_BATCH_TRAINERS and named[key] == 1
            ):
                raise AppError(
                    f"Line {node.lineno}: '{name}[\"{key}\"]' asks for {OF_BATCH_TRAINERS[key]}, which no verifier "
                    f"gets here: leave it out, or use '{name}.get(\"{key}\")'.",
                    code="unknown_signature",
                    param=key,
                )


def _entry(found: Definitions, name: str, callable_: Callable) -> Entry:
    """Return the entry. Raises AppError(400) if the source shows that nothing can call it."""
    line = found.line(name)
    if callable_.needs:
        raise AppError(
            f"Line {line}: '{name}' needs '{callable_.needs[0]}' when it is created, which nothing gives it here: add "
            f"a default, or write 'grade = {name}(...)' with the arguments.",
            code="unknown_signature",
            param=callable_.needs[0],
        )
    parameters = callable_.parameters
    call = None if parameters is None else fitting(parameters)
    if call is None and parameters is not None and callable_.certain:
        call = require_fitting(parameters, name=name, line=line)
    return Entry(name, line, parameters, call, callable_.certain)


def _chosen(candidates: Mapping[str, Callable], *, uses: Mapping[str, set[str]]) -> Sequence[str]:
    """Return the names to call; none if the choice is not clear."""
    fits = {name: call for name, found in candidates.items() if (call := _call(found)) is not None}
    tried = {*fits, *_reached(list(fits), over=_reversed(uses))}
    drivers = {name for name in fits if _DRIVER.match(name) and not uses[name].isdisjoint(tried)}
    own = [name for name in fits if name not in drivers]
    used = _reached(own, over=uses)
    roots = [name for name in own if name not in used] or own
    if len(roots) == 1 or (roots and all(fits[name].signature.name == "trl" for name in roots)):
        return roots
    if roots:
        return [name for name in roots if name == VERL]
    uncertain = [name for name, found in candidates.items() if not found.certain]
    return uncertain if len(uncertain) == 1 else []


def _call(found: Callable) -> Call | None:
    return None if found.parameters is None or found.needs else fitting(found.parameters)


def _reached(names: Sequence[str], *, over: Mapping[str, set[str]]) -> set[str]:
    """Return the names that these lead to, directly or through others."""
    reached: set[str] = set()
    pending, seen = list(names), set(names)
    while pending:
        found = over[pending.pop()]
        reached |= found
        pending += found - seen
        seen |= found
    return reached


def _reversed(uses: Mapping[str, set[str]]) -> dict[str, set[str]]:
    users: dict[str, set[str]] = {name: set() for name in uses}
    for name, used in uses.items():
        for each in used:
            users[each].add(name)
    return users


def _to_refuse(found: Definitions, candidates: Mapping[str, Callable]) -> str:
    """Return the candidate that an error is about. Raises AppError(400) if several could be meant."""
    for name, callable_ in candidates.items():
        if len(candidates) == 1 or name == VERL or callable_.needs or _asks_a_trainer(callable_):
            return name
    lines = ", ".join(f"{name} (line {found.line(name)})" for name in list(candidates)[:10])
    raise AppError(
        f"The source defines several functions and none is named 'grade': {lines}.", code="ambiguous_function"
    )


def _asks_a_trainer(found: Callable) -> bool:
    """Return whether it would be called but for a parameter that only a trainer can fill."""
    asked = frozenset(ONLY_IN_A_TRAINER)
    left = found.parameters and replace(found.parameters, required=found.parameters.required - asked)
    return left is not None and left != found.parameters and fitting(left) is not None
