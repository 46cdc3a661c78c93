"""Find what of a Python verifier is called, and with which arguments, by reading its source. Nothing is run.

`grade` is called whatever it is bound to: a function, an alias, a lambda, `functools.partial`, an instance, what a
factory returns. Without it, the one callable that has a known signature and that no other one uses is called; several
of TRL's are all called and their scores summed, as TRL does with equal weights.
"""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from backend.errors import AppError
from backend.verifiers.message_reads import reads_messages
from backend.verifiers.signatures import SIGNATURES, Signature
from backend.verifiers.source import parse_source

PREFERRED_NAMES = ("grade", "compute_score")
"""The first that is there is called; `compute_score` is verl's name."""
ONLY_IN_A_TRAINER = {
    "trainer_state": "the state of TRL's trainer",
    "completion_ids": "token ids",
    "completions_ids": "token ids",
    "prompt_ids": "token ids",
    "log_extra": "TRL's logger",
    "log_metric": "TRL's logger",
    "environments": "TRL's environments",
    "parser": "a parser of the verifiers library",
    "state": "the state of a rollout of the verifiers library",
}
"""Parameters that other trainers fill and a verifier here cannot have."""


@dataclass(frozen=True, slots=True)
class Call:
    """One callable of the source. `arguments`: parameter -> value (worker/sandbox/values.py), of those it accepts."""

    function: str
    line: int
    signature: Signature
    arguments: Mapping[str, str]
    required_columns: tuple[str, ...] = ()
    optional_columns: tuple[str, ...] = ()
    every_column: bool = False
    instantiate: bool = False
    """A class, of which an instance is called."""


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """What is called for a row or a batch. The scores of several calls are summed.

    `chat`: `prompt` and `completion` are lists of messages, as the source reads them; else they are texts.
    """

    calls: tuple[Call, ...]
    chat: bool = False

    @property
    def function(self) -> str:
        """Names of what is called."""
        return " + ".join(call.function for call in self.calls)

    @property
    def line(self) -> int:
        return self.calls[0].line

    @property
    def signature(self) -> Signature:
        return self.calls[0].signature

    @property
    def takes_batches(self) -> bool:
        return self.signature.columns

    @property
    def reads_prompt(self) -> bool:
        return not {"prompt", "prompt_text"}.isdisjoint(self.arguments.values())

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


@dataclass(frozen=True, slots=True)
class _Callable:
    """A name at top level that can be called, with the parameters it still takes."""

    name: str
    line: int
    positional: tuple[str, ...]
    keyword_only: tuple[str, ...]
    required: frozenset[str]
    every: bool
    positional_only: frozenset[str] = frozenset()
    instantiate: bool = False

    @property
    def accepted(self) -> tuple[str, ...]:
        return tuple(name for name in (*self.positional, *self.keyword_only) if name not in self.positional_only)


@lru_cache(maxsize=64)
def entry_point(source: str) -> EntryPoint:
    """Return what the source defines to be called. Raises AppError(400) that names the line to change."""
    tree = parse_source(source)
    calls = _chosen(_Module(tree))
    messages = {name for call in calls for name, value in call.arguments.items() if value in ("prompt", "completion")}
    return EntryPoint(calls=calls, chat=reads_messages(tree, messages))


def _chosen(module: "_Module") -> tuple[Call, ...]:
    for name in PREFERRED_NAMES:
        if name in module.lines:
            callable_ = module.resolved(name)
            if callable_ is None:
                raise AppError(
                    f"Line {module.lines[name]}: the parameters of '{name}' cannot be read from the source: "
                    f"define it with 'def {name}(item, output_text)', which may call what it is bound to now.",
                    code="unknown_signature",
                )
            return (_recognised(callable_),)
    candidates = [found for name in module.lines if (found := module.resolved(name)) is not None]
    if not candidates:
        raise AppError(
            "The source defines no function at top level; it starts for example with 'def grade(item, output_text)'.",
            code="no_function",
        )
    if len(candidates) == 1:
        return (_recognised(candidates[0]),)
    fitting = [call for found in candidates if (call := _fitting(found)) is not None]
    used = module.used_by_others()
    roots = [call for call in fitting if call.function not in used] or fitting
    if len(roots) == 1 or (roots and all(call.signature.name == "trl" for call in roots)):
        return tuple(roots)
    lines = ", ".join(f"{found.name} (line {found.line})" for found in candidates[:10])
    raise AppError(
        f"The source defines several functions and none is named 'grade': {lines}.", code="ambiguous_function"
    )


def _recognised(found: _Callable) -> Call:
    call = _fitting(found)
    if call is not None:
        return call
    parameters = ", ".join((*found.positional, *found.keyword_only))
    for name in sorted(found.required & ONLY_IN_A_TRAINER.keys()):
        raise AppError(
            f"Line {found.line}: '{found.name}({parameters})' asks for '{name}', {ONLY_IN_A_TRAINER[name]}, "
            "which no verifier gets here: leave it out, or give it a default.",
            code="unknown_signature",
            param=name,
        )
    shown = ", ".join(signature.shown for signature in SIGNATURES)
    raise AppError(
        f"Line {found.line}: '{found.name}({parameters})' has parameters that no known signature has; "
        f"there are {shown}.",
        code="unknown_signature",
    )


def _fitting(found: _Callable) -> Call | None:
    """Return the call by the first signature that fits, None if none does."""
    accepted = found.accepted
    if not found.required <= set(accepted) or found.required & ONLY_IN_A_TRAINER.keys():
        return None
    for signature in SIGNATURES:
        known = set(signature.arguments)
        if not signature.least <= set(accepted) or known.isdisjoint(accepted):
            continue
        if not (signature.columns or found.required <= known):
            continue
        others = [n for n in accepted if n not in known and n not in ONLY_IN_A_TRAINER] if signature.columns else []
        return Call(
            function=found.name,
            line=found.line,
            signature=signature,
            arguments={name: value for name, value in signature.arguments.items() if name in accepted},
            required_columns=tuple(name for name in others if name in found.required),
            optional_columns=tuple(name for name in others if name not in found.required),
            every_column=signature.columns and found.every,
            instantiate=found.instantiate,
        )
    return None


# -- names at top level ------------------------------------------------------------------------------------------------

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


class _Module:
    """The names that the top level of a module binds, the last binding of each."""

    def __init__(self, tree: ast.Module) -> None:
        self._bound: dict[str, ast.AST] = {}
        for statement in _statements(tree.body):
            for name, value in _bindings(statement):
                self._bound[name] = value
        self.lines = {
            name: getattr(value, "lineno", 1)
            for name, value in self._bound.items()
            if name in PREFERRED_NAMES
            or isinstance(value, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef | ast.Call)
        }

    def resolved(self, name: str) -> _Callable | None:
        value = self._bound.get(name)
        found = None if value is None else self._of(value, self._bound, depth=0)
        return None if found is None else replace(found, name=name, line=getattr(value, "lineno", 1))

    def used_by_others(self) -> set[str]:
        """Names that the body of another definition mentions."""
        definitions = [(n, v) for n, v in self._bound.items() if isinstance(v, ast.ClassDef | Function)]
        return {used for name, value in definitions for used in _names_used(value) & (self._bound.keys() - {name})}

    def _of(self, value: ast.AST, scope: Mapping[str, ast.AST], *, depth: int) -> _Callable | None:
        """Return the parameters of what an expression or definition evaluates to, if the source shows them."""
        if depth > 8:
            return None
        match value:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                return _parameters(value)
            case ast.ClassDef():
                instance = self._method(value, "__call__", depth=depth)
                return None if instance is None else replace(instance, instantiate=True)
            case ast.Name(id=name) if name in scope and scope[name] is not value:
                return self._of(scope[name], scope, depth=depth + 1)
            case ast.Attribute(value=ast.Call(func=ast.Name(id=name)), attr=method) if isinstance(
                scope.get(name), ast.ClassDef
            ):
                return self._method(scope[name], method, depth=depth)
            case ast.Call(func=function, args=arguments, keywords=keywords):
                return self._of_call(function, arguments, keywords, scope, depth=depth)
        return None

    def _of_call(
        self,
        function: ast.expr,
        arguments: Sequence[ast.expr],
        keywords: Sequence[ast.keyword],
        scope: Mapping[str, ast.AST],
        *,
        depth: int,
    ) -> _Callable | None:
        name = getattr(function, "id", getattr(function, "attr", ""))
        if name == "partial" and arguments:
            inner = self._of(arguments[0], scope, depth=depth + 1)
            return (
                None if inner is None else _bound_partly(inner, len(arguments) - 1, {k.arg for k in keywords if k.arg})
            )
        target = scope.get(name) if isinstance(function, ast.Name) else None
        if isinstance(target, ast.ClassDef):
            return self._method(target, "__call__", depth=depth)
        if isinstance(target, ast.FunctionDef):
            inside = dict(scope)
            for statement in _statements(target.body):
                inside.update(_bindings(statement))
            returned = [
                node.value for node in _own_nodes(target) if isinstance(node, ast.Return) and node.value is not None
            ]
            if len(returned) == 1:
                return self._of(returned[0], inside, depth=depth + 1)
        return None

    def _method(self, cls: ast.AST, name: str, *, depth: int) -> _Callable | None:
        if not isinstance(cls, ast.ClassDef) or depth > 8:
            return None
        for statement in cls.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) and statement.name == name:
                static = any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in statement.decorator_list)
                return _bound_partly(_parameters(statement), 0 if static else 1, set())
        bases = [self._bound.get(base.id) for base in cls.bases if isinstance(base, ast.Name)]
        return next((found for base in bases if base and (found := self._method(base, name, depth=depth + 1))), None)


def _statements(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block and of the `if`, `try` and `with` in it, in order."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _statements(statement.body)
            if isinstance(statement, ast.If | ast.Try):
                yield from _statements(statement.orelse)
            for handler in getattr(statement, "handlers", ()):
                yield from _statements(handler.body)


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, statement
        case ast.Assign(targets=targets, value=value):
            yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.ImportFrom(names=names):
            yield from ((alias.asname or alias.name, statement) for alias in names)


def _names_used(definition: ast.AST) -> set[str]:
    """Return the names that a definition reads and does not bind itself."""
    nodes = list(ast.walk(definition))
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return read - bound - {node.arg for node in nodes if isinstance(node, ast.arg)}


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a function but those of functions in it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            yield from _own_nodes(child)


def _parameters(function: Function) -> _Callable:
    arguments = function.args
    positional = [a.arg for a in arguments.posonlyargs + arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)] + [
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    return _Callable(
        name=getattr(function, "name", "<lambda>"),
        line=function.lineno,
        positional=tuple(positional),
        keyword_only=tuple(a.arg for a in arguments.kwonlyargs),
        required=frozenset(required),
        every=arguments.kwarg is not None,
        positional_only=frozenset(a.arg for a in arguments.posonlyargs),
    )


def _bound_partly(found: _Callable, count: int, keywords: set[str]) -> _Callable:
    """Without its first `count` parameters, and with defaults for those named."""
    given = set(found.positional[:count])
    return replace(
        found,
        positional=tuple(name for name in found.positional if name not in given),
        required=found.required - given - keywords,
    )
