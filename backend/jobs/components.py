"""Weights of the components of a verifier, where a job normalises them apart (`combine`)."""

from backend.core.settings.choices import Combine
from backend.core.settings.spec import RlsdSettings
from backend.errors import AppError
from backend.jobs.resolve import X_RLSD
from backend.verifiers.specs import Multi, Spec

COMBINE = f"{X_RLSD}.combine"


def weights_of(grader: Spec) -> dict[str, float]:
    """Return the weights, none of them 0, by grader of a `multi` whose formula is a weighted sum; else empty."""
    weights = grader.formula().weights() if isinstance(grader, Multi) else None
    return {name: weight for name, weight in (weights or {}).items() if weight}


def component_weights(settings: RlsdSettings, grader: Spec) -> dict[str, float]:
    """Return the weights of the components that the job normalises apart; empty if it learns from the score alone.

    Raises AppError if the settings ask for components that this verifier has not.
    """
    if settings.combine is Combine.SUM:
        return {}
    if not isinstance(grader, Multi):
        raise AppError(
            f"combine 'normalise' scales the components of a verifier apart, but a verifier of the type {grader.type} "
            "has none: use one of the type multi, or combine 'sum'.",
            param=COMBINE,
        )
    weights = weights_of(grader)
    if not weights:
        raise AppError(
            "combine 'normalise' takes the weights of the components from calculate_output, which must then be a "
            f"weighted sum such as '0.8 * a + 0.2 * b', not '{grader.calculate_output:.80}': change it, or use combine "
            "'sum'.",
            param=COMBINE,
        )
    return weights
