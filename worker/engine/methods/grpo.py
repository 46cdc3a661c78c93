"""GRPO (arXiv 2402.03300): `A^_t = A`. The reward alone speaks; there is no teacher."""

from worker.engine.methods.base import Credit, Evidence, Method, Options, sequence_credit


def credit(evidence: Evidence, options: Options) -> Credit:
    """Every token of a sequence gets the sequence's advantage."""
    return sequence_credit(evidence)


METHOD = Method(name="grpo", needs_hint=False, credit=credit)
