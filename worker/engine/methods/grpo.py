"""GRPO (arXiv 2402.03300): `A^_t = A`, from the reward alone, without a teacher.

Its variants are settings of the run: Dr. GRPO (arXiv 2503.20783) is `scale_rewards` none with the loss `constant`; DAPO
(arXiv 2503.14476) is `eps_high` above `eps_low`, the loss `token_mean` and `resample_rounds` above 0.
"""

from worker.engine.methods.base import Credit, CreditInputs, Options, sequence_credit


def credit(inputs: CreditInputs, options: Options) -> Credit:
    """Give every token its sequence's advantage."""
    return sequence_credit(inputs)
