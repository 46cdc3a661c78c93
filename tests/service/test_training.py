"""Jobs from queue to end with real workers: control signals, faults, and crashes at critical moments."""

import io
import json
import os
import random
import re
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sqlalchemy import func, select, text

from backend import blobs
from backend.db.engine import transaction
from backend.db.jobs import Job, JobEvent
from backend.db.projects import DEFAULT_PROJECT
from backend.db.training import Checkpoint, Evaluation, Rollout, Step
from backend.jobs import checkpoints, control
from backend.jobs.lifecycle import JobState
from backend.queue import TRAIN_TASK, send
from backend.settings import STARTER_MODEL
from tests.processes import processes_of, wait_for
from tests.service.training import codes, ended, job_events, job_now, new_job, worker
from tests.worker.engine.methods.test_opd import save_teacher
from tests.worker.engine.model.test_faults import as_a_pickle, with_code_of_its_own, without_a_chat_template
from tests.worker.engine.tiny import save_tiny_model
from worker.engine.model.adapter_files import adapter_from_archive
from worker.engine.training.checkpoint import adapter_from_checkpoint
from worker.training.manifest import MODEL_FILES, folder_sha256

STARTER = STARTER_MODEL.parent
SAME = {"type": "python", "name": "same", "source": "def grade(sample, item):\n    return 0.0\n"}

pytestmark = [pytest.mark.training, pytest.mark.usefixtures("clean_database")]


def counts(job_id: str) -> tuple[int, int]:
    with transaction() as session:
        return tuple(  # type: ignore[return-value]
            session.scalar(select(func.count()).select_from(table).where(table.job_id == job_id))
            for table in (Step, Rollout)
        )


def card(job_id: str) -> str:
    """The README of the job's adapter."""
    with transaction() as session:
        archive = blobs.read(session, job_now(job_id).adapter_sha256 or "")
    with zipfile.ZipFile(io.BytesIO(archive)) as adapter:
        return adapter.read("README.md").decode()


def last_checkpoint(job_id: str) -> bytes:
    with transaction() as session:
        newest = select(Checkpoint).where(Checkpoint.job_id == job_id).order_by(Checkpoint.step.desc()).limit(1)
        return blobs.read(session, session.scalars(newest).one().sha256)


def test_a_job_is_trained_and_leaves_steps_rollouts_evaluations_and_an_adapter(train_worker: Path) -> None:
    job_id = new_job()
    job = ended(job_id)
    assert job.state == JobState.SUCCEEDED, train_worker.read_text()
    assert job.adapter_sha256 is not None
    assert job.manifest is not None
    assert job.fine_tuned_model == job.manifest["job"]["name"]
    assert counts(job_id) == (4, 4 * 2 * 4)
    with transaction() as session:
        phases = session.scalars(select(Evaluation.phase).where(Evaluation.job_id == job_id)).all()
        records = session.scalars(select(Rollout.record).where(Rollout.job_id == job_id)).all()
    assert sorted(phases) == ["baseline", "trained"]
    assert job.device_name == "cpu"
    assert {record["status"] for record in records} == {"ok"}
    assert codes(job_id)[-1] == "job.succeeded"


def test_completions_of_practice_are_stored_after_the_others_with_their_hint(train_worker: Path) -> None:
    job_id = new_job(method="grpo", success_above=0.9, practice={"hint": "answer"}, token_share=1.0)
    assert ended(job_id).state == JobState.SUCCEEDED, train_worker.read_text()
    with transaction() as session:
        found = session.scalars(
            select(Rollout).where(Rollout.job_id == job_id, Rollout.step == 2).order_by(Rollout.number)
        ).all()
        hints = [rollout.hint for rollout in found]
        metrics = session.get_one(Step, (job_id, 2)).metrics
        assert {rollout.advantage for rollout in found[:8]} == {0.0}
        assert any(rollout.advantage for rollout in found[8:])
        assert all(rollout.has_tokens for rollout in found)
        assert hints == [None] * 8 + [str(rollout.row) for rollout in found[8:]], "no completion is right as asked"
    assert len(found) == 16
    assert metrics["practice_groups"] == 2


def test_a_job_is_sampled_under_its_instruction_which_its_card_tells_and_its_verifier_never_sees(
    train_worker: Path,
) -> None:
    told = "Name letters."
    source = "def reward(prompts, completions, **kwargs):\n    return [float('Name' in str(p)) for p in prompts]\n"
    verifier = {"type": "python", "name": "sees", "source": source}
    job_id = new_job(instruction=told, grader=verifier, max_steps=2, max_dead_steps=0)
    too_long = new_job(instruction="Name letters. " * 20, max_steps=2)
    job = ended(job_id)
    assert job.state == JobState.SUCCEEDED, train_worker.read_text()
    assert job.manifest is not None
    assert job.manifest["settings"]["instruction"] == told
    assert f"```text\n{told}\n```" in card(job_id)
    with transaction() as session:
        records = session.scalars(select(Rollout.record).where(Rollout.job_id == job_id)).all()
    assert {record["score"] for record in records} == {0.0}
    job = ended(too_long)
    assert job.error is not None
    assert job.error["code"] == "prompt_too_long"


def test_a_job_keeps_its_best_step_which_one_half_chooses_and_the_other_measures(train_worker: Path) -> None:
    job_id = new_job(
        rows=40, keep="best", eval_interval=1, eval_rows=8, eval_samples=2, max_steps=6, patience=3, learning_rate=0.05
    )
    job = ended(job_id)
    assert job.state == JobState.SUCCEEDED, train_worker.read_text()
    with transaction() as session:
        found = session.scalars(
            select(Evaluation).where(Evaluation.job_id == job_id).order_by(Evaluation.step, Evaluation.created_at)
        ).all()
        kept = session.scalars(select(Checkpoint).where(Checkpoint.job_id == job_id)).all()
        adapter = adapter_from_archive(blobs.read(session, job.adapter_sha256 or ""))
        saved = {each.step: blobs.read(session, each.sha256) for each in kept}
    candidates = [each for each in found if each.phase != "trained"]
    (result,) = [each for each in found if each.phase == "trained"]
    scores = [each.result["selection"]["mean"] for each in candidates]
    best = scores.index(max(scores))
    assert result.step == candidates[best].step
    assert len(candidates) - 1 == job.step == min(6, best + 3)
    assert result.result["selection"] == {"mean": scores[best], "n": 4}
    assert (result.result["n"], result.result["mean"]) == (4, candidates[best].result["mean"])
    assert {each.step: each.score for each in kept}.items() <= {
        each.step: each.result["selection"]["mean"] for each in candidates
    }.items()
    of_step = adapter_from_checkpoint(saved[result.step], r=4, alpha=8.0)
    assert adapter.tensors.keys() == of_step.tensors.keys()
    assert all(torch.equal(value, of_step.tensors[name]) for name, value in adapter.tensors.items())
    assert job.manifest is not None
    assert job.manifest["steps"] == result.step
    assert "4 of the held-out questions" in card(job_id)
    said = [event.message for event in job_events(job_id) if event.code == "kept"]
    assert len(said) == 1
    assert "chosen on 4 of the questions; the result is measured on the other 4." in said[0]


def test_the_checkpoint_of_the_kept_step_stays_though_others_are_as_good() -> None:
    job_id = new_job()
    with transaction() as session:
        job = session.get_one(Job, job_id)
        for step in range(8):
            checkpoints.store(session, job, f"{step}".encode(), step=step, score=0.5, kept_step=min(step, 1))
        steps = session.scalars(select(Checkpoint.step).where(Checkpoint.job_id == job_id)).all()
    assert sorted(steps) == [1, 5, 6, 7]


def test_a_job_ends_well_with_the_step_that_uses_its_budget_up(train_worker: Path) -> None:
    job_id = new_job(max_steps=50, budget=2)
    job = ended(job_id)
    assert (job.state, job.step) == (JobState.SUCCEEDED, 2), train_worker.read_text()
    assert "budget_used_up" in codes(job_id)
    with transaction() as session:
        query = select(Evaluation).where(Evaluation.job_id == job_id).order_by(Evaluation.step)
        evaluations = session.scalars(query).all()
    assert [(each.step, each.phase) for each in evaluations] == [(0, "baseline"), (2, "trained")]
    assert all(each.result["seconds"] > 0 for each in evaluations)


def test_a_run_with_equal_scores_reports_that_nothing_was_learned(train_worker: Path) -> None:
    silent, telling, imitating = new_job(grader=SAME), new_job(), new_job(grader=SAME, method="opsd")
    for job_id in (silent, telling, imitating):
        assert ended(job_id).state == JobState.SUCCEEDED, train_worker.read_text()
    assert "nothing_learned" in codes(silent)
    assert (job_now(silent).trained_tokens, job_now(telling).trained_tokens > 0) == (0, True)
    assert [job_now(job_id).manifest["trained_tokens"] for job_id in (silent, telling)] == [
        0,
        job_now(telling).trained_tokens,
    ]
    assert ["Nothing was learned" in card(job_id) for job_id in (silent, telling, imitating)] == [True, False, False]
    assert "nothing_learned" not in codes(telling)
    assert "nothing_learned" not in codes(imitating), "a method that imitates learns without mixed groups"


def test_a_cancelled_job_stops_within_one_step(train_worker: Path) -> None:
    job_id = new_job(max_steps=100_000)
    wait_for(lambda: job_now(job_id).step >= 3, timeout_s=60, what="three steps")
    with transaction() as session:
        at = control.cancel(session, session.get_one(Job, job_id)).step
    job = ended(job_id)
    assert job.state == JobState.CANCELLED
    assert job.step <= at + 1


def test_a_paused_job_goes_on_where_it_stood(train_worker: Path) -> None:
    job_id = new_job(max_steps=100_000)
    wait_for(lambda: job_now(job_id).step >= 3, timeout_s=60, what="three steps")
    with transaction() as session:
        control.pause(session, session.get_one(Job, job_id))
    paused = ended(job_id)
    assert paused.state == JobState.PAUSED
    with transaction(project=DEFAULT_PROJECT) as session:
        control.resume(session, session.get_one(Job, job_id))
    wait_for(lambda: job_now(job_id).step > paused.step, timeout_s=60, what="a step after the pause")
    with transaction() as session:
        first_new = session.scalar(
            select(func.min(Step.step)).where(Step.job_id == job_id, Step.created_at > paused.progress_at)
        )
    assert first_new == paused.step + 1
    with transaction() as session:
        control.cancel(session, session.get_one(Job, job_id))
    ended(job_id)


def test_a_verifier_that_always_fails_pauses_the_job_with_a_reason(train_worker: Path) -> None:
    broken = {"type": "python", "name": "broken", "source": "def grade(sample, item):\n    return item['absent']\n"}
    job_id = new_job(grader=broken)
    assert ended(job_id).state == JobState.PAUSED
    with transaction() as session:
        messages = session.scalars(select(JobEvent.message).where(JobEvent.job_id == job_id)).all()
    assert any("could not be scored" in message and "KeyError" in message for message in messages)
    assert any("Fix the verifier" in message for message in messages)


def test_a_model_that_cannot_be_loaded_fails_the_job_with_its_reason(train_worker: Path) -> None:
    job = ended(new_job(model="nowhere-to-be-found"))
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert "nowhere-to-be-found" in job.error["message"]


def test_a_job_without_signal_pauses_with_a_reason_and_waits_as_long_again_when_resumed(
    train_worker: Path,
) -> None:
    job_id = new_job(grader=SAME, max_steps=50, max_dead_steps=3)
    for step in (3, 6):
        job = ended(job_id)
        assert (job.state, job.step) == (JobState.PAUSED, step), train_worker.read_text()
        assert job.error is not None
        assert job.error["code"] == "no_signal"
        assert job.error["param"].endswith("x_rlsd.max_dead_steps")
        assert codes(job_id)[-2:] == ["no_signal", "job.paused"]
        with transaction(project=DEFAULT_PROJECT) as session:
            assert control.resume(session, session.get_one(Job, job_id)).error is None
    with transaction() as session:
        control.cancel(session, session.get_one(Job, job_id))
    ended(job_id)


BROKEN = [
    (as_a_pickle, "unsafe_weights", "only available as a pickle (pytorch_model.bin)"),
    (with_code_of_its_own, "remote_code", "RLSD_ALLOW_REMOTE_CODE=1"),
    (without_a_chat_template, "no_chat_template", "instruction-tuned"),
]


@pytest.mark.parametrize(("broken", "code", "sentence"), BROKEN, ids=[case[1] for case in BROKEN])
def test_a_job_on_a_model_that_cannot_be_used_fails_in_one_sentence_that_names_no_folder(
    train_worker: Path, models: Path, broken: Callable[[Path], None], code: str, sentence: str
) -> None:
    model = models / "mine"
    shutil.rmtree(model, ignore_errors=True)
    save_tiny_model(model)
    broken(model)
    job = ended(new_job(model="mine"))
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert (job.error["code"], job.error["param"]) == (code, "model")
    assert job.error["message"].startswith("The model 'mine' could not be loaded: ")
    assert sentence in job.error["message"]
    assert str(model) not in job.error["message"]


def test_a_job_whose_rows_the_chat_template_refuses_fails_in_one_sentence_with_row_and_model(
    train_worker: Path, models: Path
) -> None:
    model = models / "mine"
    shutil.rmtree(model, ignore_errors=True)
    save_tiny_model(model)
    (model / "chat_template.jinja").write_text("{{ raise_exception('Only on Sundays') }}", encoding="utf-8")
    job = ended(new_job(model="mine"))
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert (job.error["code"], job.error["param"]) == ("chat_template_refuses", "model")
    words = "the chat template of 'mine' refuses the messages: \"Only on Sundays\"; change the messages or use another"
    assert re.fullmatch(rf"Row \d+: {words} model\.", job.error["message"])


def test_custom_model_code_runs_if_allowed_and_is_recorded_in_the_manifest(
    clean_database: object, tmp_path: Path
) -> None:
    model = Path(save_tiny_model(tmp_path / "model"))
    with_code_of_its_own(model)
    allowed = {"RLSD_MODELS": json.dumps({"mine": str(model)}), "RLSD_ALLOW_REMOTE_CODE": "1"}
    with worker("train", models=tmp_path / "tiny", log=tmp_path / "worker.log", **allowed):
        job = ended(new_job(model="mine", max_steps=1))
    assert job.state == JobState.SUCCEEDED, (tmp_path / "worker.log").read_text()
    assert job.manifest is not None
    assert job.manifest["base_model"]["remote_code_allowed"] is True


@pytest.mark.parametrize(
    ("settings", "code", "param"),
    [
        ({"max_prompt_tokens": 10}, "prompt_too_long", "max_prompt_tokens"),
        ({"max_completion_tokens": 600}, "context_too_short", "max_completion_tokens"),
    ],
)
def test_a_job_that_cannot_go_on_names_the_setting_to_change(
    train_worker: Path, settings: dict[str, Any], code: str, param: str
) -> None:
    job = ended(new_job(**settings))
    assert job.state == JobState.FAILED, train_worker.read_text()
    assert job.error is not None
    assert (job.error["code"], job.error["param"]) == (code, f"method.reinforcement.x_rlsd.{param}")


@pytest.mark.parametrize(
    "contrast",
    [{"method": "cepo"}, {"method": "rlcsd", "hint": "sibling", "contrast_samples": 4}],
    ids=lambda contrast: contrast["method"],
)
def test_tokens_are_stored_where_a_group_has_no_second_hint_to_give_the_teacher(
    train_worker: Path, contrast: dict[str, Any]
) -> None:
    """Such a teacher yields no metrics, and NaN is not valid JSON."""
    grader = {"type": "python", "name": "starter", "source": (STARTER / "verifier.py").read_text()}
    data = b"".join((STARTER / "train.jsonl").read_bytes().splitlines(keepends=True)[:24])
    job = ended(
        new_job(
            model="starter",
            grader=grader,
            data=data,
            **contrast,
            max_steps=3,
            batch_size=6,
            max_prompt_tokens=400,
            max_completion_tokens=64,
            token_share=1.0,
            lambda_decay_steps=0,
        )
    )
    assert job.state == JobState.SUCCEEDED, train_worker.read_text()
    with transaction() as session:
        stored = session.scalars(select(Rollout.tokens).where(Rollout.job_id == job.id)).all()
    assert len(stored) == 3 * 6 * 4
    assert all(tokens is not None for tokens in stored)
    json.dumps(stored, allow_nan=False)
    heard = [tokens for tokens in stored if tokens and tokens["logp_teacher"] is not None]
    assert 0 < len(heard) < len(stored)
    for tokens in heard:
        right, wrong, delta = tokens["logp_teacher"], tokens["logp_contrast"], tokens["delta"]
        assert len(right) == len(tokens["ids"])
        assert delta == pytest.approx([r - w for r, w in zip(right, wrong, strict=True)], abs=1e-5)


def test_a_larger_teacher_is_in_the_manifest_by_name_and_hash(train_worker: Path, models: Path) -> None:
    larger = save_teacher(models / "larger")
    job = ended(new_job(method="opd", teacher_model="larger", teacher_device="cpu", max_steps=1))
    (Path(larger) / "model.safetensors").unlink()
    broken = ended(new_job(method="opd", teacher_model="larger", teacher_device="cpu", max_steps=1))
    assert job.state == JobState.SUCCEEDED, train_worker.read_text()
    assert job.manifest is not None
    base, teacher = job.manifest["base_model"], job.manifest["teacher_model"]
    assert (base["name"], teacher["name"]) == ("tiny", "larger")
    assert teacher.keys() == base.keys()
    assert teacher["sha256"] != base["sha256"] == folder_sha256(models / "tiny", patterns=MODEL_FILES)
    assert broken.error is not None
    assert (broken.error["code"], broken.error["param"]) == (
        "missing_weights",
        "method.reinforcement.x_rlsd.teacher_model",
    )
    assert larger not in broken.error["message"]


def test_a_worker_that_is_stopped_leaves_its_job_to_the_next(models: Path, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with worker("train", models=models, log=log, may_exit=True) as first:
        job_id = new_job(max_steps=60, eval_interval=0)
        wait_for(lambda: job_now(job_id).step >= 2, timeout_s=60, what="two steps")
        os.killpg(first.pid, signal.SIGTERM)  # as service managers do, including the server that forks trainers
        first.wait(30)
    assert "trainer.lost" not in codes(job_id)
    left = job_now(job_id)
    assert left.state == JobState.QUEUED, log.read_text()
    assert not processes_of(job_id)
    with worker("train", models=models, log=log):
        assert ended(job_id).state == JobState.SUCCEEDED
    assert counts(job_id)[0] == 60


def test_a_job_outlives_the_loss_of_every_database_connection(train_worker: Path) -> None:
    job_id = new_job(max_steps=60)
    for step in (2, 10, 20):
        wait_for(lambda at=step: job_now(job_id).step >= at, timeout_s=60, what=f"step {step}")
        with transaction() as session:
            others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            session.execute(text(others + " AND backend_type = 'client backend'"))
    assert ended(job_id).state == JobState.SUCCEEDED, train_worker.read_text()
    assert counts(job_id)[0] == 60


def test_killed_ten_times_it_ends_with_the_same_bits(train_worker: Path) -> None:
    steps = 44
    undisturbed = new_job(max_steps=steps)
    assert ended(undisturbed).state == JobState.SUCCEEDED
    disturbed = new_job(max_steps=steps)
    chance = random.Random(5)
    for kill_at in sorted(chance.sample(range(3, steps - 1), 10)):
        # checkpoints are written every second step, so each run gets further than the last
        wait_for(lambda at=kill_at: job_now(disturbed).step >= at, timeout_s=90, what=f"step {kill_at}")
        pid = wait_for(lambda: processes_of(disturbed), timeout_s=5, what="the trainer")[0]
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda gone=pid: gone not in processes_of(disturbed), timeout_s=20, what="the trainer's end")
    assert ended(disturbed).state == JobState.SUCCEEDED, train_worker.read_text()
    assert codes(disturbed).count("trainer.lost") == 10
    assert counts(disturbed) == counts(undisturbed)
    assert last_checkpoint(disturbed) == last_checkpoint(undisturbed)


def test_a_killed_worker_takes_its_trainer_along_and_another_ends_the_job_with_the_same_bits(
    models: Path, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with worker("train", models=models, log=log):
        undisturbed = new_job(max_steps=30)
        assert ended(undisturbed).state == JobState.SUCCEEDED
    with worker("train", models=models, log=log, may_exit=True) as first:
        disturbed = new_job(max_steps=30)
        wait_for(lambda: job_now(disturbed).step >= 5, timeout_s=60, what="five steps")
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        wait_for(lambda: not processes_of(disturbed), timeout_s=10, what="the trainer's death with its worker")
    with worker("train", models=models, log=log):
        assert ended(disturbed).state == JobState.SUCCEEDED, log.read_text()
    assert job_now(disturbed).fence >= 2
    assert last_checkpoint(disturbed) == last_checkpoint(undisturbed)


def test_two_workers_and_three_nudges_a_job_train_each_job_once(models: Path, tmp_path: Path) -> None:
    jobs = [new_job(max_steps=2) for _ in range(20)]
    for job_id in jobs * 2:
        send(TRAIN_TASK, job_id)
    logs = [tmp_path / f"worker-{number}.log" for number in (1, 2)]
    with worker("train", models=models, log=logs[0]), worker("train", models=models, log=logs[1]):
        for job_id in jobs:
            assert ended(job_id, timeout_s=280).state == JobState.SUCCEEDED
    assert {job_now(job_id).fence for job_id in jobs} == {1}
    assert {counts(job_id) for job_id in jobs} == {(2, 2 * 2 * 4)}
    assert all(b"job claimed" in log.read_bytes() for log in logs)
