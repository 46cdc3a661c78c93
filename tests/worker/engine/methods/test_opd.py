"""On-policy distillation from a larger model with the same tokenizer."""

from dataclasses import replace

import pytest
import torch

from tests.worker.engine.tiny import (
    Recorder,
    Verdict,
    load_teacher,
    tiny_model,
    tiny_policy,
    tiny_prompt_builder,
    tiny_settings,
    tiny_tasks,
    tiny_tokenizer,
    vowel_share,
)
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.policy_loading import load_external_teacher


def save_teacher(folder, *, tokenizer=None, **model):
    tiny_model(**({"seed": 5, "hidden": 48} | model)).save_pretrained(folder)
    (tokenizer or tiny_tokenizer()).save_pretrained(folder)
    return str(folder)


def run_steps(settings, *, tasks=None):
    recorder, policy = Recorder(), tiny_policy(settings)
    run(
        Experiment(
            settings=settings,
            policy=policy,
            teacher=load_teacher(settings, policy),
            tasks=tasks or tiny_tasks(7),
            held_out=[],
            reward=lambda completions: [Verdict(0.0) for _ in completions],
        ),
        observer=recorder,
        resume=None,
    )
    return recorder.steps


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_advantage_is_the_larger_models_log_ratio_on_the_students_tokens(tmp_path, temperature):
    settings = tiny_settings(
        method="opd",
        teacher_model=save_teacher(tmp_path),
        max_steps=1,
        token_share=1.0,
        delta_clip=1.5,
        temperature=temperature,
    )
    prompt_builder, tasks = tiny_prompt_builder(tiny_policy(settings)), {task.row: task for task in tiny_tasks(7)}
    big = tiny_model(seed=5, hidden=48).eval()
    (report,) = run_steps(settings)
    clipped = 0
    for rollout in report.rollouts:
        prompt, tokens = prompt_builder.prompt(tasks[rollout.row]).student.ids, rollout.tokens
        with torch.no_grad():
            logits = big(input_ids=torch.tensor([[*prompt, *tokens.ids]])).logits[0, len(prompt) - 1 : -1]
        expected = torch.log_softmax(logits / temperature, -1).gather(1, torch.tensor(tokens.ids)[:, None]).squeeze(1)
        teacher, student = torch.tensor(tokens.logp_teacher), torch.tensor(tokens.logp_student)
        torch.testing.assert_close(teacher, expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(torch.tensor(tokens.advantage), (teacher - student).clamp(-1.5, 1.5))
        clipped += int(((teacher - student).abs() > 1.5).sum())
    assert clipped > 5
    assert report.metrics["gradient_norm"] > 0.01


def test_a_teacher_equal_to_the_student_gives_no_gradient(tmp_path):
    teacher = save_teacher(tmp_path, seed=0, hidden=32)
    (report,) = run_steps(tiny_settings(method="opd", teacher_model=teacher, max_steps=1))
    assert report.metrics["gradient_norm"] == 0
    assert report.metrics["teacher_tokens"] > 0


def test_the_student_approaches_its_teacher(tmp_path):
    settings = tiny_settings(
        method="opd",
        teacher_model=save_teacher(tmp_path),
        max_steps=25,
        batch_size=6,
        num_generations=8,
        token_share=1.0,
    )
    steps = run_steps(settings)

    def distance(reports):
        """Estimate the reverse KL divergence from the teacher on the student's own tokens."""
        kept = [rollout.tokens for report in reports for rollout in report.rollouts]
        return sum(sum(t.logp_student) - sum(t.logp_teacher) for t in kept) / sum(len(t.ids) for t in kept)

    assert distance(steps[-3:]) < 0.8 * distance(steps[:3])


def test_opd_needs_no_answers(tmp_path):
    tasks = [replace(task, answer=None, solution=None) for task in tiny_tasks(5)]
    settings = tiny_settings(method="opd", teacher_model=save_teacher(tmp_path), max_steps=1)
    assert run_steps(settings, tasks=tasks)[0].metrics["skipped"] == 0


def test_a_teacher_with_another_tokenizer_is_refused(tmp_path):
    other = tiny_tokenizer()
    other.add_tokens(["extra"])
    settings = tiny_settings(method="opd", teacher_model=save_teacher(tmp_path, tokenizer=other))
    with pytest.raises(ValueError, match="tokenizer"):
        load_external_teacher(settings, student=tiny_policy(settings))


@pytest.mark.skipif(torch.cuda.device_count() > 3, reason="the device exists")
def test_a_missing_teacher_device_is_refused_naming_the_setting(tmp_path):
    settings = tiny_settings(method="opd", teacher_model=save_teacher(tmp_path), teacher_device="cuda:3")
    with pytest.raises(
        ValueError, match=r"teacher_device is cuda:3, but (no CUDA device is visible|the last visible device)"
    ):
        load_external_teacher(settings, student=tiny_policy(settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "opd"}, "opd imitates a larger model: set teacher_model"),
        ({"method": "rlsd", "teacher_model": "big"}, "teacher_model is only used by opd, not by rlsd"),
    ],
)
def test_a_missing_and_an_unused_external_teacher_are_refused(settings, message):
    settings = tiny_settings(**settings)
    with pytest.raises(ValueError, match=message):
        run(
            Experiment(
                settings=settings, policy=tiny_policy(settings), tasks=tiny_tasks(4), held_out=[], reward=vowel_share
            ),
            observer=Recorder(),
            resume=None,
        )


def test_a_teacher_has_its_own_precision(tmp_path):
    settings = tiny_settings(method="opd", teacher_model=save_teacher(tmp_path), teacher_dtype="bfloat16")
    teacher = load_external_teacher(settings, student=tiny_policy(settings))
    assert teacher.model.dtype == torch.bfloat16
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())
