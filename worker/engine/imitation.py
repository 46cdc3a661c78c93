"""Steps of imitation: those of a warm start, and those of a method that imitates (docs/rlsd.md section 7)."""

from worker.engine.experiment import TrainContext
from worker.engine.measure import Stopwatch, peak_memory_bytes
from worker.engine.observer import StepReport
from worker.engine.training.demonstrations import Demonstrations
from worker.engine.training.imitation import imitate


def take_warm_step(context: TrainContext, shown: Demonstrations, *, step: int) -> StepReport:
    """Take step `step` of the warm start. After the last one, training starts afresh from the adapter: without the
    optimizer's moments, and with the adapter as the teacher's first snapshot.
    """
    learning_rate = context.settings.warm_start.learning_rate
    report = take_imitation_step(context, shown, step=step, number=step, learning_rate=learning_rate)
    if step == context.warm_steps:
        context.optimizer.state.clear()
        context.policy.sync_snapshot()
    return report


def take_imitation_step(
    context: TrainContext, shown: Demonstrations, *, step: int, number: int, learning_rate: float
) -> StepReport:
    """Take step `step` of the run, which imitates batch `number` (from 1) of the demonstrations."""
    settings, watch = context.settings, Stopwatch(context.policy.device)
    with watch.phase("update"):
        update = imitate(
            context.policy,
            context.optimizer,
            shown.batch(number, seed=settings.seed, batch_size=settings.batch_size),
            step=step,
            purpose=shown.purpose,
            learning_rate=learning_rate,
            settings=settings,
            world=context.world,
        )
    metrics = {
        "loss": update.loss,
        "target_tokens": float(update.target_tokens),
        "gradient_norm": update.gradient_norm,
        "learning_rate": learning_rate,
        "update_s": watch.seconds["update"],
        "step_s": watch.seconds["update"],
        "rollout_tokens": 0.0,
        "teacher_tokens": 0.0,
        "update_tokens": float(update.num_tokens),
        "peak_memory_bytes": peak_memory_bytes(watch.device),
    }
    return StepReport(step=step, warm_steps=context.warm_steps, metrics=metrics, rollouts=[])
