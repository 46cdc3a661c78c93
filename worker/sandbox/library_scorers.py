"""Inside: our own types that lean on a library: `math`, `text_similarity`, `json_schema`.

The libraries are imported when a scorer is made, because they lie in the sandbox's own folder.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from worker.sandbox.scorers import GradeError, Scored, Scorer, needed


def mathematics(program: Mapping[str, Any]) -> Scorer:
    """math-verify's own time limits are off: its alarm clock is refused here, and the row has a deadline anyway."""
    from math_verify import parse, verify

    read: dict[str, Any] = {}

    def gold(reference: str) -> Any:
        """As it stands, else taken for LaTeX."""
        if reference not in read:
            parsed = parse(reference, parsing_timeout=None) or parse(f"${reference}$", parsing_timeout=None)
            if not parsed:
                raise GradeError(f"the reference '{reference:.80}' cannot be read as mathematics")
            if len(read) > 256:
                read.clear()
            read[reference] = parsed
        return read[reference]

    def score(text: str, reference: str | None) -> float:
        return float(verify(gold(needed(reference)), parse(text, parsing_timeout=None), timeout_seconds=None))

    return score


def warm_mathematics() -> None:
    """Parsers fill their tables at first use."""
    score = mathematics({})
    for text in (r"$\frac{1}{2}$", r"\boxed{x^2 + \sqrt{2}\pi}", "{1, 2, 3}", "$[0, 1)$", r"$x \le 3$", "12.5%"):
        score(text, text)


def warm_sympy() -> None:
    """It imports much of itself only when it is first asked, which a process a call would do each time."""
    import sympy

    x = sympy.Symbol("x")
    sympy.simplify(sympy.sympify("(x**2 - 1)/(x - 1)") - (x + 1))
    sympy.simplify(sympy.sin(x) ** 2 + sympy.cos(x) ** 2)
    sympy.solve(x**2 - 2, x)
    sympy.Eq(sympy.Rational(1, 2), sympy.nsimplify("0.5"))


WARM: Mapping[str, Callable[[], None]] = {"math_verify": warm_mathematics, "sympy": warm_sympy}
"""What a server does once, by the module that it has imported, before its verifiers come."""


def json_schema(program: Mapping[str, Any]) -> Scorer:
    import jsonschema

    schema = program["schema"]
    validator = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)(schema)

    def score(text: str, reference: str | None) -> Scored:
        try:
            value = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            return Scored(0.0, f"not JSON: {error}"[:300])
        fault = jsonschema.exceptions.best_match(validator.iter_errors(value))
        if fault is None:
            return Scored(1.0)
        place = "".join(f"[{part!r}]" for part in fault.absolute_path)
        return Scored(0.0, f"{fault.message:.300}{f' at {place:.100}' if place else ''}")

    return score


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def text_similarity(program: Mapping[str, Any]) -> Scorer:
    metric = program["metric"]
    measure = _MEASURES[metric]() if metric in _MEASURES else _rouge(metric)

    def score(text: str, reference: str | None) -> float:
        return min(1.0, max(0.0, float(measure(text, needed(reference)))))

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
    """Stands for WordNet, whose data no package of the list brings along."""

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
