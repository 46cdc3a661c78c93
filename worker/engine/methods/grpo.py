"""GRPO (arXiv 2402.03300): `A^_t = A`. The reward alone speaks; there is no teacher.

Its variants are settings of the run: Dr. GRPO (arXiv 2503.20783) is `scale_rewards` off with the loss `constant`; DAPO
(arXiv 2503.14476) is `eps_high` above `eps_low`, the loss `token_mean` and `resample_rounds` above 0.
"""

from worker.engine.methods.base import Credit, CreditInputs, Method, Options, TeacherKind, sequence_credit


def credit(evidence: CreditInputs, options: Options) -> Credit:
    """Every token of a sequence gets the sequence's advantage."""
    return sequence_credit(evidence)


METHOD = Method(name="grpo", credit=credit, teacher=TeacherKind.NONE)
