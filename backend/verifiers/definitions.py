"""What the top level of a Python verifier defines, and the parameters of what can be called. Nothing is run.

Where the source does not show them (a decorator of its own, branches that differ, a look-up in a dict), they are
uncertain: the sandbox asks the object itself (worker/sandbox/callables.py).
"""

import ast
from collections import ChainMap
from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from backend.verifiers.calls import Parameters

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_NEVER_CALLABLE = (
    *(ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp),
    *(ast.GeneratorExp, ast.Compare, ast.UnaryOp, ast.Import, ast.ImportFrom),
)
_IMPORTS = (ast.Import, ast.ImportFrom)
_MAX_DEPTH = 8
_MAX_BRANCHES = 8
_MAX_PARAMETERS = 100
_MAX_CLASSES = 20
"""Classes that are searched for a method. Beyond these bounds the sandbox finds out, so that no source takes long."""


@dataclass(frozen=True, slots=True)
class Callable:
    """What a name is bound to. `needs`: arguments without a default that creating the class asks for."""

    parameters: Parameters | None
    certain: bool = True
    needs: tuple[str, ...] = ()


_UNKNOWN = Callable(None, certain=False)


class Definitions:
    """The names bound at top level, each with all values that it may have: the last one, or one for each branch."""

    def __init__(self, tree: ast.Module) -> None:
        self._bound: dict[str, list[ast.AST]] = {}
        for statement, conditional in statements(tree.body):
            for name, value in _bindings(statement):
                before = self._bound.get(name, []) if conditional else []
                self._bound[name] = [*before, value][-_MAX_BRANCHES:]
        self.registered = tuple(name for name in _registered(tree) if name in self._bound)
        """Names put into ms-swift's `orms`."""
        # Looked into once each, however often they are called.
        self._parameters = cache(parameters_of)
        self._decorated = cache(self._changed_by_decorators)
        self._methods = cache(_read_methods)
        self._class = cache(self._read_class)
        self._method = cache(self._read_method)
        self._factory = cache(_read_factory)

    def __contains__(self, name: str) -> bool:
        return name in self._bound

    def line(self, name: str) -> int:
        return getattr(self._bound[name][-1], "lineno", 1)

    def candidates(self) -> dict[str, Callable]:
        """Return the functions, classes, aliases and results of calls that the source shows to be callable."""
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Call, ast.Name)
        names = [name for name, values in self._bound.items() if any(isinstance(value, kinds) for value in values)]
        found = {name: self.resolved(name) for name in names}
        return {name: callable_ for name, callable_ in found.items() if callable_ and callable_.parameters}

    def resolved(self, name: str) -> Callable | None:
        """Return what the name is bound to; None if it cannot be called."""
        values = self._bound[name]
        found = [self._of(value, {}, depth=0) for value in values]
        callables = [callable_ for callable_ in found if callable_ is not None]
        if not callables:
            return None
        if len(callables) == len(values) and all(callable_ == callables[0] for callable_ in callables):
            return callables[0]
        return replace(callables[-1], certain=False)

    def uses(self) -> dict[str, set[str]]:
        """Return the other names of the top level that each definition reads."""
        return {
            name: {used for value in values for used in _names_read(value) if used in self._bound} - {name}
            for name, values in self._bound.items()
        }

    def _look_up(self, name: str, inside: MutableMapping[str, ast.AST]) -> ast.AST | None:
        values = [inside[name]] if name in inside else self._bound.get(name, [])
        return values[0] if len(values) == 1 else None

    def _of(self, value: ast.AST, inside: MutableMapping[str, ast.AST], *, depth: int) -> Callable | None:
        """Return what an expression or definition evaluates to. `inside`: names of the function that it stands in."""
        if isinstance(value, _NEVER_CALLABLE):
            return None
        if depth > _MAX_DEPTH:
            return _UNKNOWN
        match value:
            case ast.FunctionDef() | ast.AsyncFunctionDef() if _is_small(value):
                return Callable(self._parameters(value), certain=not self._decorated(value))
            case ast.Lambda() if _is_small(value):
                return Callable(self._parameters(value))
            case ast.ClassDef():
                return self._class(value)
            case ast.Name(id=name):
                target = self._look_up(name, inside)
                return _UNKNOWN if target is None or target is value else self._of(target, inside, depth=depth + 1)
            case ast.Attribute(value=owner, attr=name):
                return self._of_attribute(owner, name, inside)
            case ast.Call():
                return self._of_call(value, inside, depth=depth)
        return _UNKNOWN

    def _changed_by_decorators(self, function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
        """Return whether a decorator of the source may change the parameters. Those of libraries keep them."""
        names = {node.id for each in function.decorator_list for node in ast.walk(each) if isinstance(node, ast.Name)}
        return any(not isinstance(value, _IMPORTS) for name in names for value in self._bound.get(name, []))

    def _read_class(self, cls: ast.ClassDef) -> Callable | None:
        instance = self._method(cls, "__call__", True)
        if any(getattr(base, "id", None) == "Protocol" for base in cls.bases):
            return None
        return None if instance is None else replace(instance, needs=self._needs(cls))

    def _needs(self, cls: ast.ClassDef) -> tuple[str, ...]:
        names = {node.id for each in cls.decorator_list for node in ast.walk(each) if isinstance(node, ast.Name)}
        if "dataclass" in names:
            return tuple(
                field.target.id
                for field in cls.body
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and field.value is None
            )
        made = self._method(cls, "__init__", True)
        if made is None or made.parameters is None:
            return ()
        return tuple(name for name in made.parameters.accepted if name in made.parameters.required)

    def _of_attribute(self, owner: ast.expr, name: str, inside: MutableMapping[str, ast.AST]) -> Callable:
        target = self._look_up(owner.id, inside) if isinstance(owner, ast.Name) else owner
        cls, bound = target, False
        if isinstance(target, ast.Call) and isinstance(target.func, ast.Name):
            cls, bound = self._look_up(target.func.id, inside), True
        found = self._method(cls, name, bound) if isinstance(cls, ast.ClassDef) else None
        return found or _UNKNOWN

    def _of_call(self, call: ast.Call, inside: MutableMapping[str, ast.AST], *, depth: int) -> Callable | None:
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        if name == "partial" and call.args and len(call.args) + len(call.keywords) <= _MAX_PARAMETERS:
            inner = self._of(call.args[0], inside, depth=depth + 1)
            unpacked = any(isinstance(argument, ast.Starred) for argument in call.args)
            if inner is None or inner.parameters is None or inner.needs or unpacked:
                return _UNKNOWN
            if any(keyword.arg is None for keyword in call.keywords):
                return _UNKNOWN
            named = frozenset(keyword.arg for keyword in call.keywords if keyword.arg)
            return replace(inner, parameters=inner.parameters.given(len(call.args) - 1, named))
        target = self._look_up(call.func.id, inside) if isinstance(call.func, ast.Name) else None
        if isinstance(target, ast.ClassDef):
            return self._method(target, "__call__", True) or _UNKNOWN
        if isinstance(target, ast.FunctionDef) and not target.decorator_list:
            own, returned = self._factory(target)
            if returned is not None:
                return self._of(returned, ChainMap(own, inside), depth=depth + 1)
        return _UNKNOWN

    def _read_method(self, cls: ast.ClassDef, name: str, bound: bool) -> Callable | None:
        """Return a method, of an instance if `bound`, as the class or a base in the source defines it."""
        seen: set[ast.ClassDef] = set()
        pending = [cls]
        while pending and len(seen) < _MAX_CLASSES:
            current = pending.pop(0)
            if current in seen:
                continue
            seen.add(current)
            if method := self._methods(current).get(name):
                return self._of_method(method, bound=bound)
            bases = [self._look_up(base.id, {}) for base in current.bases[:_MAX_CLASSES] if isinstance(base, ast.Name)]
            pending += [base for base in bases if isinstance(base, ast.ClassDef)]
        return _UNKNOWN if pending else None

    def _of_method(self, method: ast.FunctionDef | ast.AsyncFunctionDef, *, bound: bool) -> Callable | None:
        decorators = {getattr(each, "id", None) for each in method.decorator_list}
        if "abstractmethod" in decorators:
            return None
        if not _is_small(method):
            return _UNKNOWN
        own = "classmethod" in decorators or (bound and "staticmethod" not in decorators)
        found = self._parameters(method).given(1 if own else 0)
        return Callable(found, certain=decorators <= {"staticmethod", "classmethod"})


def statements(body: Sequence[ast.stmt]) -> Iterator[tuple[ast.stmt, bool]]:
    """Yield the statements of a block and of the blocks in it, in order, each with whether it may not be run.

    What only runs as a program, or only for type checkers, is left out.
    """
    pending = [(statement, False) for statement in reversed(body)]
    while pending:
        statement, conditional = pending.pop()
        yield statement, conditional
        inner = [(each, conditional or branch) for block, branch in _blocks(statement) for each in block]
        pending += reversed(inner)


def _blocks(statement: ast.stmt) -> Iterator[tuple[Sequence[ast.stmt], bool]]:
    """Yield the blocks of a statement, each with whether it may not be run although the statement is."""
    match statement:
        case ast.If() if not runs_here(statement):
            yield statement.orelse, False
        case ast.With():
            yield statement.body, False
        case ast.If() | ast.For() | ast.While():
            yield statement.body, True
            yield statement.orelse, True
        case ast.Try():
            yield statement.body, True
            yield from ((handler.body, True) for handler in statement.handlers)
            yield statement.orelse, True
            yield statement.finalbody, False
        case ast.Match():
            yield from ((case.body, True) for case in statement.cases)


def runs_here(statement: ast.If) -> bool:
    """Return whether the body of an `if` may run: not under `__name__ == "__main__"` or `TYPE_CHECKING`."""
    match statement.test:
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]) | ast.Name(id="TYPE_CHECKING"):
            return False
        case ast.Attribute(attr="TYPE_CHECKING"):
            return False
    return True


def _is_small(function: Function) -> bool:
    given = function.args
    return len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) <= _MAX_PARAMETERS


def parameters_of(function: Function) -> Parameters:
    arguments = function.args
    positional = [a.arg for a in arguments.posonlyargs + arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)] + [
        a.arg for a, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if default is None
    ]
    return Parameters(
        positional=tuple(positional),
        keyword_only=tuple(a.arg for a in arguments.kwonlyargs),
        required=frozenset(required),
        every=arguments.kwarg is not None,
        positional_only=frozenset(a.arg for a in arguments.posonlyargs),
    )


def _bindings(statement: ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name, statement
        case ast.Assign(targets=targets, value=value):
            yield from _assigned(targets[0], value)
            for target in targets[1:]:
                yield from _assigned(target, ast.Pass())
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value
        case ast.Import(names=names) | ast.ImportFrom(names=names):
            yield from ((alias.asname or alias.name.partition(".")[0], statement) for alias in names)


def _assigned(target: ast.expr, value: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield the names of a target. `Pass` stands for values that are not looked into."""
    match target, value:
        case ast.Name(id=name), _:
            yield name, value
        case ((ast.Tuple(elts=targets) | ast.List(elts=targets)), (ast.Tuple(elts=values) | ast.List(elts=values))):
            for each, its_value in zip(targets, values, strict=False):
                yield from _assigned(each, its_value)
        case ((ast.Tuple(elts=targets) | ast.List(elts=targets)), _):
            yield from ((each.id, ast.Pass(lineno=each.lineno)) for each in targets if isinstance(each, ast.Name))


def _registered(tree: ast.Module) -> Iterator[str]:
    """Yield what the source registers with ms-swift: `orms["name"] = Name`."""
    for statement, _ in statements(tree.body):
        match statement:
            case ast.Assign(targets=[ast.Subscript(value=ast.Name(id="orms"))], value=ast.Name(id=name)):
                yield name


def _names_read(definition: ast.AST) -> set[str]:
    """Return the names that a definition reads and does not bind itself."""
    nodes = list(ast.walk(definition))
    read = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return read - bound - {node.arg for node in nodes if isinstance(node, ast.arg)}


def _read_factory(function: ast.FunctionDef) -> tuple[dict[str, ast.AST], ast.expr | None]:
    """Return the names that a function binds, and what it returns, if that is one expression."""
    own = {name: value for statement, _ in statements(function.body) for name, value in _bindings(statement)}
    returned = [node.value for node in _own_nodes(function) if isinstance(node, ast.Return)]
    return own, returned[0] if len(returned) == 1 else None


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes of a function but those of functions in it."""
    pending = [function]
    while pending:
        for child in ast.iter_child_nodes(pending.pop()):
            yield child
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
                pending.append(child)


def _read_methods(cls: ast.ClassDef) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    methods = (each for each in cls.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return {method.name: method for method in methods}
