r"""Inside: write an expression as LaTeX, from LaTeX in its variants, Unicode (`2√3`, `10⁶`) or code (`x**2`)."""

import re
from collections.abc import Callable
from fractions import Fraction

from backend.verifiers.markup import as_typed
from backend.verifiers.numerals import SCALE_WORD, power_of

_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ⁿ", "0123456789-+n")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_FRACTIONS = "½12 ⅓13 ⅔23 ¼14 ¾34 ⅕15 ⅖25 ⅗35 ⅘45 ⅙16 ⅚56 ⅛18 ⅜38 ⅝58 ⅞78"
_COMMANDS = (
    r"√\sqrt ∛\sqrt[3] ∞\infty π\pi °^\circ ×\cdot ✕\cdot ⋅\cdot ·\cdot ∙\cdot ∗\cdot ±\pm "
    r"≤\le ⩽\le ≥\ge ⩾\ge ≠\ne ≈\approx ∪\cup ∩\cap ∈\in ∅\emptyset ℝ\mathbb{R} ⌊\lfloor ⌋\rfloor ⌈\lceil ⌉\rceil "
    r"α\alpha β\beta γ\gamma θ\theta λ\lambda φ\phi ω\omega"
)
_CHARACTERS = str.maketrans(
    {
        **dict.fromkeys("−–‐‑‒﹣－", "-"),
        **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2008\u2009\u200a\u202f", " "),
        **dict.fromkeys('\u200b\u2060\ufeff“”"`', ""),
        **dict.fromkeys("÷∕⁄", "/"),
        **dict(zip("⟨⟩", "()", strict=True)),
        **{pair[0]: f"{pair[1:]} " for pair in _COMMANDS.split()},
        **{pair[0]: rf"\frac{{{pair[1]}}}{{{pair[2]}}}" for pair in _FRACTIONS.split()},
    }
)
NAMED = frozenset(
    {"sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "ln", "log"}
    | {"exp", "gcd", "lcm", "max", "min", "det", "pi", "theta", "alpha", "beta", "infty"}
)
FUNCTIONS = NAMED | {"sqrt", "cbrt", "frac", "abs", "inf", "infinity", "oo", "mod", "deg", "and", "or"}
"""Words that are part of an expression."""
_NAMES = "|".join(sorted(NAMED, key=len, reverse=True))
_SPACING = r"(?:(?<!\\)\\[,;:! ]|\\q?quad(?![A-Za-z])|\\(?:displaystyle|textstyle|limits)(?![A-Za-z])|~)"
_GROUPED = re.compile(
    rf"(?<![\d.])([1-9]\d{{0,2}})((?:(?:{_SPACING}|\{{,\}}|[ '’])\d{{3}})+|(?:,\\!\s?\d{{3}})+)(?!\d)"
)
_REWRITES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]+"), lambda found: f"^{{{found[0].translate(_RAISED)}}}"),
    (re.compile("[₀-₉]+"), lambda found: f"_{{{found[0].translate(_LOWERED)}}}"),
    (_GROUPED, lambda found: found[1] + re.sub(r"\D", "", found[2])),
    (re.compile(r"\\(?:mathrm|textrm|rm|mathbf|bm|boldsymbol|mathit)\s?\{([A-Za-z]|\d[\d.,]{0,40})\}"), r"\1"),
    (re.compile(r"\\(?:bf|it|rm|em)(?![a-z])\s?"), ""),
    (re.compile(r"\\!"), ""),
    (re.compile(r"(?<=\d)\{,\}(?=\d{3})"), ","),
    (re.compile(r"(?<![\w.}])\.(?=\d)"), "0."),
    (re.compile(r"(?<=\d)\s?x\s?(?=10\s?\^)"), r"\\cdot "),
    (re.compile(_SPACING), " "),
    (re.compile(r"(?<![\d.,])(0+)[ '’](?=\d{3}(?!\d))"), r"\1, "),  # math-verify reads 9 in `0 009`
    (re.compile(r"\\[dtc]frac"), r"\\frac"),
    (re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\[bB]igg?[lr]?(?![A-Za-z])"), ""),
    (re.compile(r"\\l?dots"), " "),
    (re.compile(r"\\langle(?![a-z])"), "("),
    (re.compile(r"\\rangle(?![a-z])"), ")"),
    (re.compile(r"(?<![\w.}/])(\d+)/(\d+)\s+(?=[\\A-Za-z(])"), r"\\frac{\1}{\2} "),
    (re.compile(r"\s?\\?%"), r"\\%"),
    (re.compile(r"\\\$|[$€£¥₹](?=\s?[\d.])|(?<=\d)\s?[€£¥₹]"), ""),
    (re.compile(r"\^\s?\{?\s?\\circ\s?\}?"), ""),
    (re.compile(r"(?<=[\d})])i(?![A-Za-z])"), " i"),  # math-verify looks for an `i` that stands alone
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\\?(?:<=|=<)"), r"\\le "),
    (re.compile(r">="), r"\\ge "),
    (re.compile(r"!="), r"\\ne "),
    (re.compile(r"\+/?-"), r"\\pm "),
    (re.compile(r"(\d\.\d+)[eE]([-+]?\d{1,4})(?![\w.])"), r"\1\\cdot 10^{\2}"),
    (re.compile(r"(?<![\w.])(\d+)[eE](\+?\d{1,4})(?![\w.])"), r"\1\\cdot 10^{\2}"),  # `2e-3` may be algebra
    (re.compile(r"(?<=[\w)\]}])\s?\*\s?(?=[\w(\[{\\-])"), r"\\cdot "),
    (re.compile(r"(?<![\\A-Za-z])(?:infinity|inf|oo)(?![A-Za-z])"), r"\\infty "),
    (re.compile(r"(?<![\\A-Za-z])cbrt(?=[\s({])"), r"\\sqrt[3]"),
    (re.compile(rf"(?<![\\A-Za-z])(sqrt|{_NAMES})(?![A-Za-z])"), r"\\\1 "),
    (re.compile(r"(\\sqrt(?:\[\d\])?)\s{0,4}(\d+|[A-Za-z])"), r"\1{\2}"),
    (re.compile(r"\^\s?([-+]?\d{2,}|[-+]\s?\d+)"), r"^{\1}"),
    (re.compile(r"(?<![\d/.^_{])(\d+)\s+(\d+)\s?/\s?(\d+)(?![\d/.])"), r"\1\\frac{\2}{\3}"),
)
_SCALED = re.compile(
    r"(?:(?<![\d,.])(?P<grouped>[1-9]\d{0,2}(?:,\d{3})+)|(?<=[\d}]))(?P<between>[\s$*~]{0,4})(?P<text>\\(?:text|mbox|mathrm)\s?\{)?\s?"
    rf"(?P<scale>{SCALE_WORD})(?(text)(?P<end>\s?\}})?|)"
)
_REPEATING = re.compile(
    r"(?<![\w.])(?P<whole>\d{0,20})\.(?P<once>\d{0,20}?)"
    r"(?:\\(?:overline|bar|dot)\s?\{(?P<marked>\d{1,20})\}|(?P<seen>(\d)\5\5|(\d{2,6})\6)(?P<more>\d{0,20})(?:\.{2,3}|…|\\[lc]?dots))"
)
_MEMBER_OF = re.compile(r"(?<![A-Za-z\\])[A-Za-z]\s?(?:\\in(?![a-z])|∈)\s?(?=[(\[]|\\left[(\[])")
_BRACED_AFTER = re.compile(r"(\\sqrt(?:\[\d\])?|\^)\s{0,4}\(")
_ABSOLUTE = re.compile(r"(?<![\\A-Za-z])abs\(([^()]{1,100})\)")


def in_one_notation(text: str) -> str:
    r"""Write HTML, scale words and repeating decimals of a text as expressions, and `x \in (1, 2)` as the interval."""
    return _MEMBER_OF.sub("", _with_fractions(_with_powers(as_typed(text))))


def _with_powers(text: str) -> str:
    r"""Write the words that multiply the number before them as powers: `5 million` becomes `5\cdot 10^{6}`."""

    def write(found: re.Match[str]) -> str:
        base, exponent = power_of(found["scale"])
        is_open = found["text"] and not found["end"]
        number = (found["grouped"] or "").replace(",", "")
        return rf"{number}\cdot {base}^{{{exponent}}}{found['between']}{found['text'] if is_open else ''}"

    return _SCALED.sub(write, text)


def _with_fractions(text: str) -> str:
    r"""Write repeating decimals as fractions: `0.1\overline{6}` and `0.1666...` become `\frac{1}{6}`."""

    def write(found: re.Match[str]) -> str:
        block = found["marked"] or found[5] or found[6]
        if not found["marked"] and not (block * 20).startswith(found["more"]):
            return found[0]
        once, scale = found["once"], 10 ** len(found["once"])
        value = (int(found["whole"] + once or 0) + Fraction(int(block), 10 ** len(block) - 1)) / scale
        return rf"\frac{{{value.numerator}}}{{{value.denominator}}}"

    return _REPEATING.sub(write, text)


def as_latex(expression: str) -> str:
    """Write the expression as LaTeX. The time is linear in its length, which callers bound."""
    text = expression.translate({ord("⁄"): "/"})
    for pattern, replacement in _REWRITES[:2]:
        text = pattern.sub(replacement, text)
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _REWRITES[2:]:
        text = pattern.sub(replacement, text)
    text = _ABSOLUTE.sub(r"|\1|", text)
    text = _with_braces(text)
    if re.fullmatch(r"\s*\{[^\\]*\}\s*", text) and text.count("{") == 1:
        text = rf"\{{{text.strip()[1:-1]}\}}"  # a set, typed without LaTeX
    return re.sub(r"\s+", " ", text).strip()


def _with_braces(text: str) -> str:
    """Write `sqrt(x+1)` and `2^(x+1)` with the braces that LaTeX needs."""
    opened = [found.end() - 1 for found in _BRACED_AFTER.finditer(text)]
    letters = list(text)
    for place in opened:
        depth = 0
        for end in range(place, len(text)):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if depth == 0:
                letters[place], letters[end] = "{", "}"
                break
    return "".join(letters)
