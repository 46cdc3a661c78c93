"""Jobs in the state after training, without training: adapter, manifest, held-out evaluations, steps."""

import random

from backend.db.base import utc_now
from backend.db.engine import transaction
from backend.db.jobs import Job
from backend.db.training import Evaluation, Step
from backend.jobs.lifecycle import JobState
from tests.service.test_exports import finish_job
from worker.training.manifest import job_manifest

QUESTIONS = 40


def trained(job_id: str) -> str:
    """Finish a job, with held-out scores of about 0.2 before and 0.7 after. Returns its adapter's name."""
    finish_job(job_id)
    measured(job_id, step=0, share=0.2)
    measured(job_id, step=2, share=0.7)
    with transaction() as session:
        job = session.get_one(Job, job_id)
        base = {"name": job.model, "sha256": "0" * 64, "remote_code_allowed": False}
        job.manifest = job_manifest(session, job, step=2, base=base, teacher=None, sandbox={"level": 2})
        job.fine_tuned_model, job.finished_at, job.trained_tokens = job.adapter_name, utc_now(), 12_345
        return job.adapter_name


def measured(
    job_id: str, *, step: int, share: float, phase: str | None = None, seed: int = 0, unscored: int = 0
) -> None:
    """Add a held-out evaluation in which each of two samples is right with this probability; `unscored` have none."""
    rng = random.Random(f"{seed} {step} {share}")
    questions = [{"row": row, "scores": [float(rng.random() < share) for _ in range(2)]} for row in range(QUESTIONS)]
    mean = sum(sum(question["scores"]) for question in questions) / (2 * QUESTIONS)
    stored = [
        {**question, "scores": [question["scores"][0], None]} if row < unscored else question
        for row, question in enumerate(questions)
    ]
    result = {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": QUESTIONS, "k": 2, "per_question": stored}
    after = {"p_value": 0.0004, "difference": {"mean": mean - 0.2, "low": mean - 0.3, "high": mean - 0.1}}
    with transaction() as session:
        session.add(
            Evaluation(
                job_id=job_id,
                step=step,
                phase=phase or ("trained" if step else "baseline"),
                created_at=utc_now(),
                result=result | (after if step else {}),
            )
        )


def steps_taken(job_id: str, rewards: list[float], *, step_s: float = 2.0) -> None:
    with transaction() as session:
        for number, reward in enumerate(rewards, start=1):
            metrics = {"reward_mean": reward, "step_s": step_s, "rollout_tokens": 640.0, "entropy": 1 - reward / 2}
            session.add(Step(job_id=job_id, step=number, created_at=utc_now(), metrics=metrics))
        session.get_one(Job, job_id).step = len(rewards)


def ended(job_id: str) -> None:
    with transaction() as session:
        job = session.get_one(Job, job_id)
        job.state, job.step, job.finished_at = JobState.SUCCEEDED, job.max_steps, utc_now()
        job.trained_tokens = 12_345
