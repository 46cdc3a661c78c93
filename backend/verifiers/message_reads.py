"""Whether a Python verifier reads `prompt` or `completion` as a list of messages, told from its source.

A look-up of "role" or "content" counts in what comes from such a parameter by subscripts, loops, `zip`, assignments and
calls of the source's own functions. One in anything else (`info["role"]`, parsed JSON) does not.
"""

import ast
from collections.abc import Iterator, Set

KEYS = ("content", "role")
_SAME_ITEMS = {"list", "tuple", "reversed", "sorted", "iter", "next", "filter"}
"""Built-in functions that give the items of their argument, or one of them."""


def reads_messages(tree: ast.Module, parameters: Set[str]) -> bool:
    """Return whether the source looks "role" or "content" up in one of the parameters, or in what comes from it.

    Names are followed without regard to scope, so that a parameter of the same name elsewhere counts as well.
    """
    names = set(parameters)
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    before = -1
    while len(names) != before:
        before = len(names)
        for node in ast.walk(tree):
            names.update(_names_of(node, names, functions))
    return any(_looks_up(node, names) for node in ast.walk(tree))


def _looks_up(node: ast.AST, names: set[str]) -> bool:
    match node:
        case ast.Subscript(value=value, slice=ast.Constant(value=key)) if key in KEYS:
            return _comes_from(value, names)
        case ast.Call(func=ast.Attribute(value=value, attr="get"), args=[ast.Constant(value=key), *_]) if key in KEYS:
            return _comes_from(value, names)
    return False


def _comes_from(value: ast.expr, names: set[str]) -> bool:
    """Whether it is one of the names, an item of it, or a list of its items."""
    match value:
        case ast.Name(id=name):
            return name in names
        case (
            ast.Subscript(value=inner) | ast.Starred(value=inner) | ast.NamedExpr(value=inner) | ast.Await(value=inner)
        ):
            return _comes_from(inner, names)
        case ast.Call(func=ast.Name(id=function), args=arguments) if function in _SAME_ITEMS and arguments:
            return any(_comes_from(argument, names) for argument in arguments)
        case ast.Call(func=ast.Attribute(value=inner, attr="pop" | "copy")):
            return _comes_from(inner, names)
        case ast.IfExp(body=one, orelse=other):
            return _comes_from(one, names) or _comes_from(other, names)
        case ast.BoolOp(values=values):
            return any(_comes_from(each, names) for each in values)
        case ast.ListComp(elt=element, generators=generators) | ast.GeneratorExp(elt=element, generators=generators):
            inner_names = names | {n for g in generators for n in _targets(g.target, g.iter, names)}
            return _comes_from(element, inner_names)
    return False


def _names_of(
    node: ast.AST, names: set[str], functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef]
) -> Iterator[str]:
    """Names that a node binds to messages or to lists of them."""
    match node:
        case (
            ast.For(target=target, iter=items)
            | ast.AsyncFor(target=target, iter=items)
            | ast.comprehension(target=target, iter=items)
        ):
            yield from _targets(target, items, names)
        case ast.Assign(targets=targets, value=value) if _comes_from(value, names):
            yield from (name for target in targets for name in _stored(target))
        case ast.AnnAssign(target=target, value=ast.expr() as value) | ast.NamedExpr(target=target, value=value) if (
            _comes_from(value, names)
        ):
            yield from _stored(target)
        case ast.Call(func=ast.Name(id="map"), args=[function, *iterables]):
            yield from _handed(function, iterables, names, functions)
        case ast.Call(func=ast.Name() as function, args=arguments, keywords=keywords):
            yield from _handed(function, arguments, names, functions)
            known = functions.get(function.id)
            accepted = {a.arg for a in (*known.args.args, *known.args.kwonlyargs)} if known else set()
            yield from (k.arg for k in keywords if k.arg in accepted and _comes_from(k.value, names))


def _handed(
    function: ast.expr,
    arguments: list[ast.expr],
    names: set[str],
    functions: dict[str, ast.FunctionDef | ast.AsyncFunctionDef],
) -> Iterator[str]:
    """Parameters of a function of the source, or of a lambda, that get messages."""
    known = function if isinstance(function, ast.Lambda) else functions.get(getattr(function, "id", ""))
    if known is not None:
        parameters = [a.arg for a in (*known.args.posonlyargs, *known.args.args)]
        yield from (name for name, value in zip(parameters, arguments, strict=False) if _comes_from(value, names))


def _targets(target: ast.expr, items: ast.expr, names: set[str]) -> Iterator[str]:
    """Names of a loop's target that get items of one of the names."""
    match target, items:
        case ast.Tuple(elts=targets), ast.Call(func=ast.Name(id="zip"), args=sources):
            for each, source in zip(targets, sources, strict=False):
                if _comes_from(source, names):
                    yield from _stored(each)
        case ast.Tuple(elts=[_, inner]), ast.Call(func=ast.Name(id="enumerate"), args=[source, *_]):
            yield from _targets(inner, source, names)
        case _, _ if _comes_from(items, names):
            yield from _stored(target)


def _stored(target: ast.expr) -> Iterator[str]:
    yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
