"""Learning from whole distributions: the gradient is that of the papers' losses, written out naively."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from backend.core.settings.choices import Divergence, TeacherWeights
from tests.worker.engine.methods.test_opd import save_teacher
from tests.worker.engine.tiny import (
    Recorder,
    load_teacher,
    make_step_tensors,
    solution_contexts,
    tiny_model,
    tiny_policy,
    tiny_settings,
    tiny_tasks,
    tiny_tokenizer,
    vowel_share,
)
from tests.worker.engine.training.test_update import advantages_of, gradients, ragged, rollouts_of, split_into_batches
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model import token_logprobs
from worker.engine.model.policy import LIVE_ADAPTER, SNAPSHOT_ADAPTER
from worker.engine.model.policy_loading import build_policy, load_external_teacher
from worker.engine.rollouts.logprobs import plan_rollout_batches
from worker.engine.teacher.distillation import Distiller, divergence_options
from worker.engine.training.update import TrainBatch, accumulate_gradients

KINDS = [
    {"divergence": "forward_kl"},
    {"divergence": "forward_kl", "divergence_clip": 0.05},
    {"divergence": "reverse_kl", "divergence_top_k": 20},
    {"divergence": "jsd", "divergence_beta": 0.3},
    {"divergence": "jsd", "divergence_beta": 0.5, "divergence_top_k": 100},
]


def scene(method="opsd", *, tokens=12, weights=TeacherWeights.SNAPSHOT, double=True, **changes):
    """A policy with two different adapters, ragged rollouts of it, and a distiller that has the solutions as hints."""
    settings = tiny_settings(method=method, **changes)
    policy = tiny_policy(settings, random_adapters=True)
    rollouts = ragged(rollouts_of(policy, tokens=tokens, temperature=settings.temperature))
    if double:
        policy.model.double()
    contexts = solution_contexts(policy, rollouts)
    distiller = Distiller(
        policy=policy,
        weights=weights,
        contexts=contexts,
        temperature=settings.temperature,
        options=divergence_options(settings),
    )
    return settings, policy, rollouts, distiller


def full_mask_tensors(rollouts, advantages):
    return make_step_tensors(rollouts, advantages, torch.full(rollouts.mask_BT.shape, torch.nan, dtype=torch.float64))


def logits_after(model, context, completion, *, temperature):
    logits = model(input_ids=torch.tensor([[*context.ids, *completion]])).logits[0, len(context.ids) - 1 : -1]
    return logits / temperature


def naive_divergence(student, teacher, *, settings):
    """`[T]`, in probabilities over the whole vocabulary or over the student's likeliest tokens and the rest."""
    s, t = student.softmax(-1), teacher.softmax(-1)
    if settings.divergence_top_k:
        best = s.detach().topk(settings.divergence_top_k, -1).indices
        s, t = (torch.cat([p.gather(-1, best), 1 - p.gather(-1, best).sum(-1, keepdim=True)], -1) for p in (s, t))
    kind, beta = settings.divergence, settings.divergence_beta
    m = beta * t + (1 - beta) * s
    terms = {
        "forward_kl": t * (t.log() - s.log()),
        "reverse_kl": s * (s.log() - t.log()),
        "jsd": beta * t * (t.log() - m.log()) + (1 - beta) * s * (s.log() - m.log()),
    }[kind]
    return (terms.clamp(max=settings.divergence_clip) if settings.divergence_clip else terms).sum(-1)


def naive_loss(settings, policy, rollouts, distiller, advantages, *, teacher_mask_B=None):
    """Sequence by sequence without padding: minus the surrogate at ratio 1, plus the divergence; token mean."""
    losses, spoken = [], {"opsd": 1.0, "sdpo": 1.0, "grpo_opsd": settings.alpha}[settings.method]
    for b in range(rollouts.num_sequences):
        completion = rollouts.completion_ids_BT[b, : int(rollouts.lengths_B[b])].tolist()
        after = {"temperature": settings.temperature}
        with torch.no_grad(), policy.weights(distiller.weights):
            teacher = logits_after(policy.model, distiller.contexts[b], completion, **after)
        student = logits_after(policy.model, rollouts.prompt_of(b).student, completion, **after)
        if teacher_mask_B is None or teacher_mask_B[b]:
            losses.append(spoken * naive_divergence(student, teacher, settings=settings))
        if settings.method == "grpo_opsd":
            chosen = student.log_softmax(-1).gather(1, torch.tensor(completion)[:, None]).squeeze(1)
            losses.append(-(chosen - chosen.detach()).exp() * advantages[b])
    return torch.cat(losses).sum() / rollouts.mask_BT.sum()


@pytest.mark.parametrize("method", ["opsd", "grpo_opsd"])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_loss_and_gradients_are_those_of_the_naive_loss(method, kind):
    settings, policy, rollouts, distiller = scene(method, temperature=0.8, **kind)
    advantages = advantages_of(rollouts).double()
    plan = split_into_batches(list(range(16)), size=5, rollouts=rollouts)
    fresh = replace(rollouts, sampling_logps_BT=rollouts.sampling_logps_BT.double())
    found = accumulate_gradients(
        policy,
        TrainBatch(
            rollouts=fresh, step_tensors=full_mask_tensors(fresh, advantages), plan=plan, lam=0.0, distiller=distiller
        ),
        settings=settings,
    )
    ours = gradients(policy)
    policy.model.zero_grad()
    policy.model.eval()
    loss = naive_loss(settings, policy, fresh, distiller, advantages)
    loss.backward()
    # The tiny model normalises in float32; and rho is 1 as far as sampling in float32 and training agree.
    tolerance = 1e-6 if method == "opsd" else 1e-4
    assert found.loss == pytest.approx(loss.item(), abs=tolerance)
    for name, gradient in gradients(policy).items():
        torch.testing.assert_close(ours[name], gradient, rtol=tolerance, atol=tolerance)
    assert max(gradient.abs().max() for gradient in ours.values()) > 1e-3
    assert all(parameter.grad is None for parameter in policy.adapter(SNAPSHOT_ADAPTER).values())


@pytest.mark.parametrize("loss", ["token_mean", "sequence_mean", "constant"])
def test_the_gradient_does_not_depend_on_micro_batches_or_chunks(loss, monkeypatch):
    settings, policy, rollouts, distiller = scene(loss=loss, divergence="jsd", divergence_top_k=50)
    step_tensors, found = full_mask_tensors(rollouts, advantages_of(rollouts).double()), []
    for size, elements in ((16, 2**23), (16, 4 * 261 * 7), (3, 2**23)):
        monkeypatch.setitem(token_logprobs.CHUNK_ELEMENTS, "cpu", elements)
        plan = split_into_batches(list(range(16)), size=size, rollouts=rollouts)
        accumulate_gradients(
            policy,
            TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0, distiller=distiller),
            settings=settings,
        )
        found.append(gradients(policy))
    for other, tolerance in zip(found[1:], (1e-12, 1e-7), strict=True):  # the tiny model normalises in float32
        for name, gradient in found[0].items():
            torch.testing.assert_close(other[name], gradient, rtol=0, atol=tolerance)


def test_only_tokens_of_the_mask_are_compared():
    """Sequences without a hint, tokens after the reasoning and after the first firm rejection."""
    settings, policy, rollouts, distiller = scene(divergence="forward_kl", first_error=True)
    distiller = replace(distiller, contexts=tuple(None if b % 3 == 0 else c for b, c in enumerate(distiller.contexts)))
    has_context_B = torch.tensor([context is not None for context in distiller.contexts])
    reasoned_BT = torch.arange(rollouts.mask_BT.shape[1])[None].expand_as(rollouts.mask_BT) < 9
    step_tensors = full_mask_tensors(rollouts, advantages_of(rollouts).double())
    step_tensors = replace(step_tensors, teacher_mask_B=has_context_B, teacher_mask_BT=reasoned_BT)
    plan = split_into_batches(list(range(16)), size=4, rollouts=rollouts)
    found = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0, distiller=distiller),
        settings=settings,
    )
    delta = (found.teacher_logps_BT - found.logps_BT).nan_to_num()
    rejected = (delta < -1.6) & rollouts.mask_BT & reasoned_BT
    after_error = (rejected.cumsum(1) - rejected.long()) > 0
    expected = rollouts.mask_BT & has_context_B[:, None] & reasoned_BT & ~after_error
    assert (after_error & rollouts.mask_BT & has_context_B[:, None]).any()
    assert torch.equal(found.credit.advantages_BT != 0, expected)
    assert (found.credit.advantages_BT <= 0).all(), "a whole divergence is never below 0"


def test_without_any_hint_only_rewards_remain():
    changes = {"divergence": "jsd"}
    settings, policy, rollouts, distiller = scene("grpo_opsd", **changes)
    silent = replace(distiller, contexts=(None,) * 16)
    step_tensors = replace(
        full_mask_tensors(rollouts, advantages_of(rollouts).double()),
        teacher_mask_B=torch.zeros(16, dtype=torch.bool),
    )
    plan = split_into_batches(list(range(16)), size=4, rollouts=rollouts)
    accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0, distiller=silent),
        settings=settings,
    )
    found = gradients(policy)
    alone = make_step_tensors(rollouts, advantages_of(rollouts).double())
    accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=alone, plan=plan, lam=0.0),
        settings=settings.model_copy(update={"method": "grpo"}),
    )
    assert all(torch.equal(gradient, found[name]) for name, gradient in gradients(policy).items())


@pytest.mark.parametrize("weights", list(TeacherWeights))
def test_a_teacher_with_the_students_contexts_and_weights_has_divergence_zero(weights):
    settings, policy, rollouts, distiller = scene(weights=weights, double=False, divergence="forward_kl")
    if weights is TeacherWeights.BASE:
        for name, parameter in policy.adapter(LIVE_ADAPTER).items():
            if "lora_B" in name:
                torch.nn.init.zeros_(parameter)
    policy.sync_snapshot()
    own = replace(distiller, contexts=tuple(rollouts.prompt_of(b).student for b in range(16)))
    plan = split_into_batches(list(range(16)), size=4, rollouts=rollouts)
    step_tensors = full_mask_tensors(rollouts, advantages_of(rollouts))
    found = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0, distiller=own),
        settings=settings,
    )
    assert torch.equal(found.credit.advantages_BT.abs(), torch.zeros_like(found.credit.advantages_BT))
    assert found.gradient_norm < 1e-6
    hinted = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0, distiller=distiller),
        settings=settings,
    )
    assert hinted.gradient_norm > 1e-3


def trained(settings, *, policy=None):
    recorder, policy = Recorder(), policy or tiny_policy(settings)
    run(
        Experiment(
            settings=settings,
            policy=policy,
            teacher=load_teacher(settings, policy),
            tasks=tiny_tasks(7),
            held_out=[],
            reward=vowel_share,
        ),
        observer=recorder,
        resume=None,
    )
    return recorder.steps


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "opsd", "divergence": "forward_kl", "divergence_clip": 0.05, "teacher": "base"},
        {"method": "sdpo", "hint": "sibling", "success_above": 0.4, "divergence": "jsd", "divergence_top_k": 100},
        {"method": "grpo_opsd", "divergence": "reverse_kl", "teacher": "live", "reasoning_only": True},
    ],
    ids=lambda changes: changes["method"],
)
def test_whole_runs_learn_from_distributions_and_also_report_the_sampled_tokens(changes):
    steps = trained(tiny_settings(**changes, max_steps=3, token_share=1.0))
    for report in steps:
        metrics = report.metrics
        assert metrics["gradient_norm"] > 1e-4
        assert metrics["teacher_tokens"] > 0
        assert metrics["delta_mean_positive"] != 0
        for rollout in report.rollouts:
            assert len(rollout.tokens.advantage) == len(rollout.tokens.ids)


def test_a_larger_teacher_with_a_longer_vocabulary_table_is_compared_on_the_shared_tokens(tmp_path):
    teacher = save_teacher(tmp_path, vocab=272)
    settings = tiny_settings(method="opd", teacher_model=teacher, divergence="reverse_kl", max_steps=1)
    (report,) = trained(settings)
    assert report.metrics["gradient_norm"] > 1e-3
    policy = tiny_policy(settings)
    rollouts = ragged(rollouts_of(policy))
    distiller = Distiller(
        policy=load_external_teacher(settings, student=policy),
        weights=TeacherWeights.LIVE,
        contexts=tuple(rollouts.prompt_of(b).student for b in range(16)),
        temperature=1.0,
        options=divergence_options(settings),
    )
    plan = split_into_batches(list(range(16)), size=16, rollouts=rollouts)
    step_tensors = full_mask_tensors(rollouts, advantages_of(rollouts))
    found = accumulate_gradients(
        policy,
        TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0, distiller=distiller),
        settings=settings,
    )
    big, small = tiny_model(seed=5, hidden=48, vocab=272).eval(), tiny_model().eval()
    for b in (0, 7, 15):
        length = int(rollouts.lengths_B[b])
        context, completion = rollouts.prompt_of(b).student, rollouts.completion_ids_BT[b, :length].tolist()
        with torch.no_grad():
            teachers, own = (logits_after(m, context, completion, temperature=1.0)[:, :261] for m in (big, small))
        expected = naive_divergence(own, teachers, settings=settings)
        torch.testing.assert_close(found.credit.advantages_BT[b, :length], -expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("method", ["opsd", "opd"])
def test_an_output_layer_that_is_trained_is_refused_because_it_would_learn_nothing(method, tmp_path):
    larger = {"teacher_model": save_teacher(tmp_path)} if method == "opd" else {}
    settings = tiny_settings(method=method, divergence="jsd", lora_target_modules=("q_proj", "lm_head"), **larger)
    model = tiny_model()
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    policy = build_policy(model, tokenizer=tiny_tokenizer(), settings=settings)
    with pytest.raises(ValueError, match="no gradient to the output layer"):
        trained(settings, policy=policy)


def test_a_method_that_does_not_distil_is_refused():
    with pytest.raises(ValueError, match=r"divergence 'jsd' is only used by opsd, .*, not by rlsd"):
        trained(tiny_settings(divergence="jsd"))


def test_the_settings_reach_the_comparison():
    settings = tiny_settings(divergence="jsd", divergence_beta=0.2, divergence_top_k=7, divergence_clip=0.5)
    found = divergence_options(settings)
    assert (found.kind, found.beta, found.top_k, found.clip) == (Divergence.JSD, 0.2, 7, 0.5)


def test_the_logits_of_all_tokens_are_never_held_together(monkeypatch):
    settings, policy, rollouts, distiller = scene(double=False, divergence="jsd")
    tokens, limit = int(rollouts.mask_BT.sum()), 40
    assert tokens > 2 * limit
    monkeypatch.setitem(token_logprobs.CHUNK_ELEMENTS, "cpu", limit * 261)
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.dim() > 1 and result.shape[-1] == 261:
                largest = max(largest, result.numel() // 261)
            return result

    step_tensors = full_mask_tensors(rollouts, advantages_of(rollouts))
    plan = split_into_batches(list(range(16)), size=16, rollouts=rollouts)
    with Watch():
        accumulate_gradients(
            policy,
            TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0, distiller=distiller),
            settings=settings,
        )
    assert 1 < largest <= limit


def test_measured_divergences_are_those_of_plain_distributions_and_zero_without_a_context():
    """Against `naive_divergence`, sequence by sequence without padding; the micro-batches are ragged."""
    settings, policy, rollouts, distiller = scene(divergence="forward_kl", temperature=0.7)
    unheard = 3
    contexts = tuple(None if b == unheard else context for b, context in enumerate(distiller.contexts))
    distiller = replace(distiller, contexts=contexts)
    plan = plan_rollout_batches(rollouts, sequences=range(16), teacher_contexts=[contexts], micro_batch_tokens=120)
    assert len(plan) > 2
    seen = set()
    for batch in plan:
        measured = distiller.measure(policy, rollouts, batch)
        if batch.sequences.tolist() == [unheard]:
            assert measured is None
            seen.add(unheard)
            continue
        assert measured is not None
        logps_bT, divergences_bT = measured
        assert not divergences_bT.requires_grad
        for row, b in enumerate(batch.sequences.tolist()):
            seen.add(b)
            length = int(rollouts.lengths_B[b])
            if b == unheard:
                assert (divergences_bT[row] == 0).all()
                assert logps_bT[row].isnan().all()
                continue
            completion = rollouts.completion_ids_BT[b, :length].tolist()
            with torch.no_grad():
                with policy.weights(distiller.weights):
                    teacher = logits_after(policy.model, contexts[b], completion, temperature=0.7)
                student = logits_after(policy.model, rollouts.prompt_of(b).student, completion, temperature=0.7)
            expected = naive_divergence(student, teacher, settings=settings)
            torch.testing.assert_close(divergences_bT[row, :length], expected, rtol=1e-9, atol=1e-12)
            assert (divergences_bT[row, length:] == 0).all()
            chosen = teacher.log_softmax(-1).gather(1, torch.tensor(completion)[:, None]).squeeze(1)
            torch.testing.assert_close(logps_bT[row, :length], chosen, rtol=1e-9, atol=1e-12)
    assert seen == set(range(16))
