"""What training added to the imitation before it, in a sentence: the verdict of a run with a warm start. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.core.methods import METHODS, MethodName
from backend.core.outcome import Verdict, shown


def beyond_imitation(evaluations: Sequence[Mapping[str, Any]], *, method: str) -> str | None:
    """Return the sentence for a run's evaluations, given as JSON in their order.

    None without an evaluation after the warm start or after training, if the method imitates too, and if the step that
    is kept is not one of the method's.
    """
    found = {evaluation["phase"]: evaluation for evaluation in evaluations}
    since = found["trained"].get("since_warm_start") if "trained" in found else None
    if since is None or not {"baseline", "warm"} <= found.keys() or METHODS[MethodName(method)].imitates:
        return None
    if found["trained"]["step"] <= found["warm"]["step"]:
        return None
    base, warm, trained = (found[phase]["mean"] for phase in ("baseline", "warm", "trained"))
    score = _in_percent if all(0 <= mean <= 1 for mean in (base, warm, trained)) else _plain
    difference = since["difference"]
    interval = f"95 % interval {_signed(difference['low'])} to {_signed(difference['high'])}"
    imitation = f"Imitation took the held-out score from {score(base)} to {score(warm)}"
    verdict = shown(difference, p=since["p_value"])
    if verdict is Verdict.BETTER:
        return f"{imitation}, training from {score(warm)} to {score(trained)} ({interval})."
    if verdict is Verdict.WORSE:
        return f"{imitation}; training made it worse, from {score(warm)} to {score(trained)} ({interval})."
    return f"{imitation}; training after it showed no difference ({interval}): imitation was enough."


def _in_percent(mean: float) -> str:
    return f"{100 * mean:.0f} %"


def _plain(mean: float) -> str:
    return f"{mean:.3g}"


def _signed(difference: float) -> str:
    return f"{difference:+.3f}"
