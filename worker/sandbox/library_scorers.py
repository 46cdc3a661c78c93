"""Inside: built-in types that need a library: `text_similarity`, `json_schema`, and the warm-up of libraries.

The libraries are imported when a scorer is created, because they are in the sandbox's own folder.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from worker.sandbox.mathematics import mathematics
from worker.sandbox.scorers import Scored, Scorer, require_reference


def warm_mathematics() -> None:
    """Let the parsers build their tables, and sympy import what it compares with, which they do on first use."""
    score = mathematics({})
    for text, reference in (
        (r"$\frac{1}{2}$", "0.50"),
        (r"\boxed{x^2 + \sqrt{2}\pi}", r"\sqrt{2}\pi + x^2"),
        ("(x - 1)(x + 1)", "x^2 - 1"),
        (r"2\sqrt{2}", r"4\sqrt{2}"),
        ("{1, 2, 3}", "{3, 2, 1}"),
        ("$[0, 1)$", "$[0, 2)$"),
        (r"$x \le 3$", r"3 \ge x"),
        ("12.5%", r"\frac{1}{8}"),
    ):
        score(text, reference)


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
