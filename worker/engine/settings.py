"""The settings of a run, without defaults: those are in the job's specification (`backend/jobs/spec.py`)."""

from dataclasses import dataclass

from worker.engine.types import Budget, Divergence, Hint, Loss, Sharding, TeacherWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings of a run. ValueError naming the field where a value is invalid."""

    method: str
    """Name of a registered credit method, which computes the token advantages."""
    lam: float
    """`lambda`: share of the token weight in the mix, 0 to 1."""
    lambda_decay_steps: int
    """`lambda` falls linearly to 0 over this many steps; 0 keeps it constant."""
    eps_w: tuple[float, float]
    """Token weights are clipped to `[1 - eps_w[0], 1 + eps_w[1]]`."""
    normalise: bool
    """Divide the weights of a sequence by their mean."""
    first_error: bool
    """Ignore the teacher after the first token that it firmly rejects."""
    negative_only: bool
    """Use the teacher only where the advantage is negative."""
    reasoning_only: bool
    """Use the teacher only before `reasoning_end`, found in the decoded text."""
    reasoning_end: str
    """The text that ends the reasoning, such as "</think>" or "Answer:"."""
    alpha: float
    """Coefficient of the distillation term in `grpo_opsd`."""
    delta_clip: float
    """`c`: bound of the log-ratio where it is an advantage (`opsd`, `opd`, `sdpo`, `grpo_opsd`)."""
    divergence: str
    """A `Divergence`."""
    divergence_beta: float
    """Weight of the teacher in the mixture of the Jensen-Shannon divergence, between 0 and 1."""
    divergence_top_k: int
    """Tokens compared one by one, the rest as one tail; 0 compares the whole vocabulary."""
    divergence_clip: float
    """Largest summand of a divergence, one vocabulary entry at one token; 0 for no bound."""
    contrast_samples: int
    """Wrong siblings that a contrast averages over, at most as many as the group has."""
    contrast_tau: float
    """Log-ratio at which the contrast of `rlcsd` saturates."""
    contrast_threshold: float
    """`rlcsd` ignores contrasts no larger than this."""
    scale_rewards: bool
    """Divide advantages by the group's standard deviation; off for Dr. GRPO."""
    resample_rounds: int
    """Rounds per step in which groups without signal are replaced by new prompts (DAPO); 0 for none."""
    teacher: str
    """A `TeacherWeights`."""
    teacher_sync_steps: int
    """Optimizer steps between snapshot updates."""
    hint: str
    """A `Hint`."""
    placebo_of: str
    """Kind of hint that a placebo takes from another row."""
    success_above: float
    """Score above which a completion counts as a success, for siblings and statistics."""
    teacher_model: str | None
    """Hub id or folder of the external teacher (`opd`)."""
    teacher_dtype: str
    """Precision of the external teacher, as `dtype`."""
    teacher_device: str
    """Device of the external teacher, as `device`; also "cuda:1"."""
    num_generations: int
    """`G`, samples per prompt."""
    batch_size: int
    """`P`, prompts per step."""
    max_prompt_tokens: int
    """Longest prompt allowed, including the hint in the teacher's prompt."""
    max_completion_tokens: int
    """Longest completion sampled; longer ones are truncated."""
    temperature: float
    """Sampling temperature, also used for all log-probabilities."""
    skip_special_tokens: bool
    """Leave special tokens out of the text of completions."""
    learning_rate: float
    weight_decay: float
    max_grad_norm: float
    """Gradients are scaled down to this norm."""
    eps_low: float
    """Lower clip of the policy ratio."""
    eps_high: float
    """Upper clip of the policy ratio."""
    dual_clip: float
    """`c`: bound of the objective where the advantage is negative."""
    loss: str
    """A `Loss`."""
    micro_batch_tokens: int
    """Most padded tokens in one forward pass; a longer sequence is run alone."""
    gradient_checkpointing: bool
    """Recompute activations in the backward pass: less memory, more time."""
    rollout_sequences: int
    """Most sequences sampled at a time; one chunk is scored while the next is sampled."""
    generator: str
    """Sampler of the completions: "transformers" or "vllm"."""
    sharding: str
    """A `Sharding`, for runs of several processes."""
    max_steps: int
    """Optimizer steps of the run."""
    budget: float
    """Budget of the run, which ends after the step that exhausts it; 0 for no limit."""
    budget_unit: str
    """A `Budget`."""
    lora_r: int
    lora_alpha: float
    lora_dropout: float
    lora_target_modules: str | tuple[str, ...]
    """"all-linear", or the names of the modules."""
    eval_samples: int
    """`k` of avg@k."""
    eval_interval: int
    """Steps between interim evaluations; 0 for none."""
    checkpoint_interval: int
    """Steps between checkpoints; 0 for only the first and the last."""
    token_share: float
    """Share of rollouts whose per-token numbers are reported, 0 to 1."""
    seed: int
    dtype: str
    """Precision of the base model, "float32" or "bfloat16"; the adapter is always float32."""
    device: str
    """"auto", "cpu" or "cuda"."""
    max_error_share: float
    """Share of a step's completions in error or timeout above which the run stops; replaced groups count too."""
    max_dead_steps: int
    """Consecutive steps without a training signal after which the run stops; 0 for never."""
    diagnostic_interval: int
    """Steps between diagnostic passes (distance to the start, placebo) over a few of the step's rollouts; 0 for never.

    See `diagnostics.py`.
    """

    def __post_init__(self) -> None:
        at_least = {
            "num_generations": 2,
            "batch_size": 1,
            "teacher_sync_steps": 1,
            "max_prompt_tokens": 1,
            "max_completion_tokens": 1,
            "micro_batch_tokens": 1,
            "max_steps": 1,
            "budget": 0,
            "lora_r": 1,
            "eval_samples": 1,
            "contrast_samples": 1,
            "rollout_sequences": 1,
            "resample_rounds": 0,
            "divergence_top_k": 0,
            "divergence_clip": 0,
            "max_dead_steps": 0,
            "diagnostic_interval": 0,
            "alpha": 0,
            "contrast_threshold": 0,
            "lambda_decay_steps": 0,
            "eval_interval": 0,
            "checkpoint_interval": 0,
            "weight_decay": 0,
            "eps_low": 0,
            "eps_high": 0,
            "dual_clip": 1,
        }
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("temperature", "learning_rate", "max_grad_norm", "lora_alpha", "delta_clip", "contrast_tau"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        for name in ("lam", "token_share", "max_error_share", "divergence_beta"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1, got {getattr(self, name)}")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be in [0, 1), got {self.lora_dropout}")
        if not 0 <= self.eps_w[0] <= 1 or self.eps_w[1] < 0:
            raise ValueError(
                f"eps_w must be a pair with the first in [0, 1] and the second at least 0, got {self.eps_w}"
            )
        choices = {
            "teacher": tuple(TeacherWeights),
            "hint": tuple(Hint),
            "placebo_of": (Hint.ANSWER, Hint.SOLUTION, Hint.TRAJECTORY, Hint.PRIVILEGED, Hint.GRADER),
            "divergence": tuple(Divergence),
            "sharding": tuple(Sharding),
            "budget_unit": tuple(Budget),
            "generator": ("transformers", "vllm"),
            "teacher_dtype": ("float32", "bfloat16"),
            "loss": tuple(Loss),
            "dtype": ("float32", "bfloat16"),
            "device": ("auto", "cpu", "cuda"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
