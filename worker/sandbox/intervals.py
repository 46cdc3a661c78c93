r"""Inside: inequalities that are joined by words, as math-verify can compare them: `x < -1 or x > 2` is a union."""

import re

_COMPARED = r"<|>|\\(?:le|leq|leqslant|ge|geq|geqslant|lt|gt)(?![a-z])"
_NOT_EQUAL = re.compile(r"[A-Za-z]\s?\\neq?(?![a-z])\s?([^<>=]{1,60})")
_OR, _AND = (re.compile(rf"\s?(?:{sign}|\b{word}\b)\s?") for sign, word in ((r"\\lor|∨", "or"), (r"\\land|∧", "and")))
_SIDES = re.compile(rf"\s?({_COMPARED})\s?")
_VARIABLE = re.compile(r"[A-Za-z]")


def as_union(latex: str) -> str | None:
    r"""Write inequalities of one variable with `or` between them as a union of intervals; None if they are none."""
    pieces = [_interval(piece) for piece in _OR.split(latex)]
    known = [piece for piece in pieces if piece is not None]
    if len(pieces) < 2 or len(known) < len(pieces) or len({variable for variable, _ in known}) > 1:
        return None
    return r"\cup".join(interval for _, interval in known)


def all_but(latex: str) -> str | None:
    r"""Write `x \ne 3` as the two intervals around 3; None if it is anything else."""
    found = _NOT_EQUAL.fullmatch(latex.strip())
    return rf"(-\infty,{found[1]})\cup({found[1]},\infty)" if found else None


def as_chain(latex: str) -> str | None:
    """Write `x > -1 and x < 2` as `-1 < x < 2`; None if it is anything else."""
    parts = [_bound(part) for part in _AND.split(latex)]
    if len(parts) != 2 or None in parts:
        return None
    (variable, low), (other, high) = sorted((part for part in parts if part is not None), key=lambda part: part[1][0])
    if variable != other or (low[0], high[0]) != ("above", "below"):
        return None
    return f"{low[1]} {low[2]} {variable} {high[2]} {high[1]}"


def _interval(piece: str) -> tuple[str, str] | None:
    """Return the variable and the interval of `x < 1`, `1 < x` or `0 < x < 1`."""
    sides = _SIDES.split(piece.strip())
    if len(sides) == 5 and _VARIABLE.fullmatch(sides[2]):
        low, below, variable, beneath, high = sides
        if _is_less(below) and _is_less(beneath):
            return variable, f"{_opens(below)}{low},{high}{_shuts(beneath)}"
    bound = _bound(piece)
    if bound is None:
        return None
    variable, (side, limit, sign) = bound
    interval = rf"{_opens(sign)}{limit},\infty)" if side == "above" else rf"(-\infty,{limit}{_shuts(sign)}"
    return variable, interval


def _bound(piece: str) -> tuple[str, tuple[str, str, str]] | None:
    """Return the variable of `x > 1` or `1 < x`, whether it is above or below what, and the sign that says `less`."""
    sides = _SIDES.split(piece.strip())
    if len(sides) != 3:
        return None
    left, sign, right = sides
    less = r"\le" if "e" in sign else "<"
    if _VARIABLE.fullmatch(left) and not _VARIABLE.fullmatch(right):
        return left, ("below" if _is_less(sign) else "above", right, less)
    if _VARIABLE.fullmatch(right) and not _VARIABLE.fullmatch(left):
        return right, ("above" if _is_less(sign) else "below", left, less)
    return None


def _is_less(sign: str) -> bool:
    return sign == "<" or sign.startswith(r"\l")


def _opens(sign: str) -> str:
    return "[" if "e" in sign else "("


def _shuts(sign: str) -> str:
    return "]" if "e" in sign else ")"
