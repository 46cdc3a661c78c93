"""The formula of a `multi` grader: `0.8 * a + 0.2 * min(b, c)`. Parsed once, never evaluated as Python.

Allowed are numbers, names of graders, `+ - * / ^` (and `**`), parentheses, OpenAI's functions `min max abs floor ceil
exp sqrt log`, and `pow`. Everything is computed in floats, which bounds time and memory.
"""

import ast
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

MAX_FORMULA_CHARS = 2000
_OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.Div: lambda a, b: a / b,
    ast.Pow: math.pow,
}
# name -> (function, least and most arguments; None: unlimited)
_FUNCTIONS: dict[str, tuple[Callable[..., float], int, int | None]] = {
    "min": (min, 1, None),
    "max": (max, 1, None),
    "abs": (abs, 1, 1),
    "floor": (math.floor, 1, 1),
    "ceil": (math.ceil, 1, 1),
    "exp": (math.exp, 1, 1),
    "sqrt": (math.sqrt, 1, 1),
    "log": (math.log, 1, 2),
    "pow": (math.pow, 2, 2),
}
ALLOWED = "numbers, names of graders, + - * / ^, parentheses and " + ", ".join(_FUNCTIONS)


class FormulaError(ValueError):
    """A formula that cannot be parsed, or has no value for the scores."""


@dataclass(frozen=True, slots=True)
class Formula:
    _tree: ast.expr
    names: frozenset[str]

    def value(self, scores: Mapping[str, float]) -> float:
        """Evaluate the formula. Raises FormulaError if the value is not finite: division by zero, log(0)."""
        try:
            value = _value(self._tree, scores)
        except ZeroDivisionError as error:
            raise FormulaError("a division by zero") from error
        except (ValueError, OverflowError) as error:
            raise FormulaError(f"not a finite number ({error})") from error
        if not math.isfinite(value):
            raise FormulaError(f"{value} is not a finite number")
        return value

    def weights(self) -> dict[str, float] | None:
        """Return the weight of each grader that it names if it is a weighted sum, else None: `0.8 * a + b / 2 + 1`."""
        try:
            constant, weights = _linear(self._tree)
        except (_NotLinear, ArithmeticError, ValueError):
            return None
        return weights if all(map(math.isfinite, (constant, *weights.values()))) else None


class _NotLinear(Exception):  # noqa: N818 - an answer, not an error
    """A formula that is no weighted sum."""


def parse_formula(text: str, *, names: Collection[str]) -> Formula:
    """Parse a formula. Raises FormulaError that quotes the invalid part."""
    if len(text) > MAX_FORMULA_CHARS:
        raise FormulaError(f"it has {len(text)} characters, the limit is {MAX_FORMULA_CHARS}")
    try:
        tree = ast.parse(text.strip().replace("^", "**"), mode="eval").body
        used = _check(tree, names=names)
    except SyntaxError as error:
        raise FormulaError(f"'{text:.80}' is not a formula: {error.msg}") from error
    except (RecursionError, MemoryError) as error:
        raise FormulaError("it is nested too deeply") from error
    except ValueError as error:
        raise FormulaError(str(error)) from error
    return Formula(tree, used)


def _check(tree: ast.expr, *, names: Collection[str]) -> frozenset[str]:
    """Return the graders that the formula names. Raises FormulaError for anything not listed above."""
    match tree:
        case ast.Constant(value=int() | float() as number) if type(number) is not bool:
            try:
                if math.isfinite(float(number)):
                    return frozenset()
            except OverflowError:
                pass
            raise FormulaError("a number in it is too large")
        case ast.Name(id=name):
            if name in names:
                return frozenset({name})
            known = ", ".join(sorted(names))
            raise FormulaError(f"'{name:.60}' is not one of the graders: {known}")
        case ast.UnaryOp(op=ast.UAdd() | ast.USub(), operand=operand):
            return _check(operand, names=names)
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _OPERATORS:
            return _check(left, names=names) | _check(right, names=names)
        case ast.Call(func=ast.Name(id=function), args=arguments, keywords=[]) if function in _FUNCTIONS:
            _, least, most = _FUNCTIONS[function]
            if len(arguments) < least or (most is not None and len(arguments) > most):
                raise FormulaError(f"{function}() does not take {len(arguments)} arguments")
            return frozenset[str]().union(*(_check(argument, names=names) for argument in arguments))
    shown = ast.unparse(tree)
    raise FormulaError(f"'{shown:.60}' is not allowed in a formula; allowed are {ALLOWED}")


def _linear(tree: ast.expr) -> tuple[float, dict[str, float]]:
    """Return the formula as (constant, weight by name). Raises _NotLinear."""
    match tree:
        case ast.Name(id=name):
            return 0.0, {name: 1.0}
        case ast.UnaryOp(op=operator, operand=operand):
            return _scaled(_linear(operand), -1.0 if isinstance(operator, ast.USub) else 1.0)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as operator, right=right):
            first, weights = _linear(left)
            second, others = _scaled(_linear(right), -1.0 if isinstance(operator, ast.Sub) else 1.0)
            return first + second, {name: weights.get(name, 0.0) + others.get(name, 0.0) for name in weights | others}
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            (first, weights), (second, others) = _linear(left), _linear(right)
            if weights and others:
                raise _NotLinear
            return _scaled((second, others), first) if others else _scaled((first, weights), second)
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            divisor, others = _linear(right)
            if others:
                raise _NotLinear
            return _scaled(_linear(left), 1 / divisor)
    if any(_linear(argument)[1] for argument in _arguments(tree)):
        raise _NotLinear
    return _value(tree, {}), {}


def _arguments(tree: ast.expr) -> list[ast.expr]:
    """Return what a function or a power is computed from."""
    match tree:
        case ast.Call(args=arguments):
            return arguments
        case ast.BinOp(left=left, right=right):
            return [left, right]
    return []


def _scaled(linear: tuple[float, dict[str, float]], factor: float) -> tuple[float, dict[str, float]]:
    constant, weights = linear
    return constant * factor, {name: weight * factor for name, weight in weights.items()}


def _value(tree: ast.expr, scores: Mapping[str, float]) -> float:
    match tree:
        case ast.Constant(value=int() | float() as number):
            return float(number)
        case ast.Name(id=name):
            return scores[name]
        case ast.UnaryOp(op=operator, operand=operand):
            value = _value(operand, scores)
            return -value if isinstance(operator, ast.USub) else value
        case ast.BinOp(left=left, op=operator, right=right):
            return _OPERATORS[type(operator)](_value(left, scores), _value(right, scores))
        case ast.Call(func=ast.Name(id=function), args=arguments):
            return float(_FUNCTIONS[function][0](*(_value(argument, scores) for argument in arguments)))
    raise AssertionError(ast.dump(tree))
