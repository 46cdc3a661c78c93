"""Inside: built-in types that need a library: `math`, `text_similarity`, `json_schema`.

The libraries are imported when a scorer is created, because they are in the sandbox's own folder.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from worker.sandbox.scorers import GradeError, Scored, Scorer, require_reference


def mathematics(program: Mapping[str, Any]) -> Scorer:
    """Create the `math` scorer. math-verify's own time limits are off, because each row has a deadline anyway."""
    from math_verify import parse, verify

    parsed_references: dict[str, Any] = {}

    def read_reference(reference: str) -> Any:
        if reference not in parsed_references:
            parsed = parsed_reference(reference)
            if not parsed:
                raise GradeError(f"the reference '{reference:.80}' cannot be read as mathematics")
            if len(parsed_references) > 256:
                parsed_references.clear()
            parsed_references[reference] = parsed
        return parsed_references[reference]

    def score(text: str, reference: str | None) -> float:
        answer = parse(mathematical(text), parsing_timeout=None)
        return float(verify(read_reference(require_reference(reference)), answer, timeout_seconds=None))

    return score


def parsed_reference(reference: str) -> list[Any]:
    """Return math-verify's expression and the text that it took it from; nothing if it cannot be read."""
    from math_verify import parse

    read: list[Any] = parse(mathematical(reference), parsing_timeout=None) or parse(reference, parsing_timeout=None)
    return read


_DELIMITED = re.compile(r"\$|\\boxed|\\\(|\\\[")
_COMMAND = re.compile(r"\\(?:text|mathrm|textbf)\s*\{[^{}]*\}|\\[A-Za-z]+")
_WORD = re.compile(r"[A-Za-z]{3,}|(?:(?<=\s)|^)[A-Za-z]{2}(?=\s|$)")
"""Prose, or a unit: three letters, or two that stand alone (`2ab` is algebra)."""
_FUNCTIONS = frozenset(
    {"and", "or", "ln", "pi", "exp", "gcd", "lcm", "log", "max", "min", "mod", "det", "deg", "sqrt"}
    | {"sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan"}
)
_GROUPED = re.compile(r"(?<!\d)(\d{1,3})((?:(?:\\[,!; ]|[ \u00a0\u2009\u202f'’])\d{3})+)(?!\d)")
MAX_BARE_CHARS = 400


def mathematical(text: str) -> str:
    """Add the delimiters of LaTeX to a text that is nothing but an expression; leave any other as it is.

    Without them math-verify would take the last number alone: 13 of `3\\sqrt{13}`, 2 of `(1, 2)`.
    """
    bare = text.strip()
    if not bare or len(bare) > MAX_BARE_CHARS or "\n" in bare or _DELIMITED.search(bare):
        return text
    if any(word.lower() not in _FUNCTIONS for word in _WORD.findall(_COMMAND.sub(" ", bare))):
        return text
    grouped = _GROUPED.sub(lambda found: found[1] + re.sub(r"\D", "", found[2]), bare)
    return f"${grouped.removesuffix('.')}$"


def warm_mathematics() -> None:
    """Let the parsers build their tables, which they do on first use."""
    score = mathematics({})
    for text in (r"$\frac{1}{2}$", r"\boxed{x^2 + \sqrt{2}\pi}", "{1, 2, 3}", "$[0, 1)$", r"$x \le 3$", "12.5%"):
        score(text, text)


def warm_sympy() -> None:
    """Trigger sympy's lazy imports, which otherwise each process would repeat."""
    import sympy

    x = sympy.Symbol("x")
    sympy.simplify(sympy.sympify("(x**2 - 1)/(x - 1)") - (x + 1))
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    sympy.solve(x**2 - 2, x)
    sympy.Eq(sympy.Rational(1, 2), sympy.nsimplify("0.5"))


WARM: Mapping[str, Callable[[], None]] = {"math_verify": warm_mathematics, "sympy": warm_sympy}
"""Warm-up of a server after importing a module, before its first verifier."""


def json_schema(program: Mapping[str, Any]) -> Scorer:
    import jsonschema

    schema = program["schema"]
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema)

    def score(text: str, reference: str | None) -> Scored:
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return Scored(0.0, f"not JSON: {error}"[:300])
        violation = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if violation is None:
            return Scored(1.0)
        place = "".join(f"[{part!r}]" for part in violation.absolute_path)
        return Scored(0.0, f"{violation.message:.300}{f' at {place:.100}' if place else ''}")

    return score


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def text_similarity(program: Mapping[str, Any]) -> Scorer:
    metric = program["metric"]
    measure = _MEASURES[metric]() if metric in _MEASURES else _rouge(metric)

    def score(text: str, reference: str | None) -> float:
        return min(1.0, max(0.0, float(measure(text, require_reference(reference)))))

    return score


Measure = Callable[[str, str], float]
"""(input, reference) -> 0 to 1."""


def _fuzzy_match() -> Measure:
    from rapidfuzz import fuzz

    return lambda text, reference: fuzz.ratio(text, reference) / 100


def _bleu() -> Measure:
    import sacrebleu

    return lambda text, reference: sacrebleu.sentence_bleu(text, [reference]).score / 100


def _gleu() -> Measure:
    from nltk.translate.gleu_score import sentence_gleu

    return lambda text, reference: sentence_gleu([reference.split()], text.split())


class _NoSynonyms:
    """Replaces WordNet, whose data none of the installed packages contains."""

    def synsets(self, word: str) -> list[object]:
        return []


def _meteor() -> Measure:
    from nltk.translate.meteor_score import single_meteor_score

    none = _NoSynonyms()
    return lambda text, reference: single_meteor_score(reference.split(), text.split(), wordnet=none)


def _rouge(metric: str) -> Measure:
    from rouge_score.rouge_scorer import RougeScorer

    name = "rougeL" if metric == "rouge_l" else metric.replace("_", "")
    scorer = RougeScorer([name], use_stemmer=False)
    return lambda text, reference: scorer.score(reference, text)[name].fmeasure


_MEASURES: dict[str, Callable[[], Measure]] = {
    "fuzzy_match": _fuzzy_match,
    "bleu": _bleu,
    "gleu": _gleu,
    "meteor": _meteor,
}
