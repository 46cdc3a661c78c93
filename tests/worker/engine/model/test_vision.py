"""Vision-language models: real PNG and JPEG bytes, real processors and real Qwen-VL architectures."""

import base64
import io
import json
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoTokenizer

from backend.core.settings.choices import TeacherWeights
from tests.worker.engine.tiny import (
    Recorder,
    make_step_tensors,
    rollout_contexts,
    sample_rollouts,
    save_tiny_model,
    solution_contexts,
    tiny_prompt_builder,
    tiny_settings,
    tiny_tasks,
    tiny_tokenizer,
    vowel_share,
)
from tests.worker.engine.tiny_vision import (
    FAMILIES,
    GENERATIONS,
    draw_image,
    image_task,
    image_tasks,
    save_tiny_vision_model,
    tiny_processor,
    tiny_vision_model,
    with_images,
)
from tests.worker.engine.training.test_update import ragged
from worker.engine.experiment import Experiment
from worker.engine.loop import run
from worker.engine.model.adapter_files import export_adapter
from worker.engine.model.images import messages_and_images
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import build_policy, load_external_teacher, load_policy
from worker.engine.model.vision import FeatureCache
from worker.engine.rollouts.logprobs import plan_rollout_batches
from worker.engine.rollouts.prompts import with_hint
from worker.engine.rollouts.transformers_sampler import inverse_cdf_sample
from worker.engine.teacher.signals import Scorer, teacher_logps
from worker.engine.training.update import TrainBatch, accumulate_gradients


def vision_policy(family="qwen3_vl", *, settings=None, random_adapters=True):
    processor = tiny_processor(family)
    policy = build_policy(
        tiny_vision_model(family),
        tokenizer=processor.tokenizer,
        settings=settings or tiny_settings(),
        processor=processor,
    )
    if random_adapters:
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name in ("default", "snapshot"):
                for parameter in policy.adapter(name).values():
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return policy


def vision_rollouts(policy, *, tasks=None, samples=3, tokens=12, temperature=1.0):
    return sample_rollouts(
        policy,
        [tiny_prompt_builder(policy).prompt(task) for task in tasks or image_tasks(6)],
        num_generations=samples,
        max_completion_tokens=tokens,
        temperature=temperature,
        generator=torch.Generator().manual_seed(3),
    )


def processor_inputs(policy, task, *, hint=None):
    """Convert messages with images to tensors with the processor alone."""
    messages, encoded = messages_and_images(task)
    messages = messages if hint is None else with_hint(messages, hint=hint, row=task.row)
    images = iter(Image.open(io.BytesIO(picture)).convert("RGB") for picture in encoded)
    for message in messages:
        if not isinstance(message["content"], str):
            for part in message["content"]:
                if part["type"] == "image":
                    part["image"] = next(images)
    return policy.vision.processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )


def naive_logits(policy, task, completion, *, hint=None):
    """Run images, text and completion through the model directly: its own positions, no padding, no cache."""
    inputs = dict(processor_inputs(policy, task, hint=hint))
    written = policy.as_input(torch.tensor([completion], dtype=torch.long))
    inputs["input_ids"] = torch.cat([inputs["input_ids"], written], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["mm_token_type_ids"] = (inputs["input_ids"] == policy.vision.image_token_id).int()
    with torch.no_grad():
        return policy.model(**inputs).logits[0, inputs["input_ids"].shape[1] - len(completion) - 1 :].float()


def pixels_of(policy, context):
    return policy.vision.processed.entries[context.image_spans.images.digest][0]["pixel_values"]


@pytest.mark.parametrize("family", GENERATIONS)
@pytest.mark.parametrize("hint", [None, "it is 42"])
def test_contexts_match_the_processors_output(family, hint):
    policy = vision_policy(family)
    for task in image_tasks(6):
        prompt_builder = tiny_prompt_builder(policy)
        context = prompt_builder.prompt(task).student if hint is None else prompt_builder.with_hint(task, hint=hint)
        expected = processor_inputs(policy, task, hint=hint)
        assert list(context.ids) == expected["input_ids"][0].tolist()
        assert (context.image_spans is None) == (not task.images) == ("pixel_values" not in expected)
        if context.image_spans is not None:
            assert torch.equal(context.image_spans.images.grids_N3, expected["image_grid_thw"])
            assert torch.equal(pixels_of(policy, context), expected["pixel_values"])


@pytest.mark.parametrize("family", FAMILIES)
def test_teacher_logps_match_naive_scoring_one_by_one(family):
    policy = vision_policy(family)
    rollouts = ragged(vision_rollouts(policy))
    hinted = solution_contexts(policy, rollouts)
    everything = range(rollouts.num_sequences)
    plan = plan_rollout_batches(rollouts, sequences=everything, teacher_contexts=[hinted], micro_batch_tokens=600)
    assert len(plan) > 2
    found = teacher_logps(Scorer(policy, plan, TeacherWeights.SNAPSHOT, 0.7), rollouts, hinted)
    for b in everything:
        task, length = rollouts.prompt_of(b).task, int(rollouts.lengths_B[b])
        completion = rollouts.completion_ids_BT[b, :length].tolist()
        with policy.weights(TeacherWeights.SNAPSHOT):
            logits = naive_logits(policy, task, completion, hint=task.solution)
        expected = torch.log_softmax(logits[:length] / 0.7, -1).gather(1, torch.tensor(completion)[:, None])
        torch.testing.assert_close(found[b, :length], expected.squeeze(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_sampling_with_padding_and_cache_matches_sampling_without_either(family):
    policy = vision_policy(family)
    rollouts = vision_rollouts(policy, samples=2, tokens=16)
    uniforms_TB = torch.rand(16, rollouts.num_sequences, generator=torch.Generator().manual_seed(3))
    assert len({len(prompt.student.ids) for prompt in rollouts.prompts}) > 3
    for b in range(rollouts.num_sequences):
        task, written = rollouts.prompt_of(b).task, []
        for t in range(int(rollouts.lengths_B[b])):
            logits = naive_logits(policy, task, written)[-1:]
            token, logp = inverse_cdf_sample(logits, uniforms_TB[t, b : b + 1], temperature=1.0)
            written.append(int(token))
            assert rollouts.completion_ids_BT[b, t] == token
            torch.testing.assert_close(rollouts.sampling_logps_BT[b, t], logp[0], rtol=0, atol=1e-5)


def test_a_sampled_image_token_has_no_image():
    policy = vision_policy()
    rollouts = vision_rollouts(policy, tasks=[image_task(1, num_images=1), image_task(2, num_images=2)])
    rollouts.completion_ids_BT[:, 2] = policy.vision.image_token_id
    plan = plan_rollout_batches(rollouts, sequences=range(6), teacher_contexts=[], micro_batch_tokens=9999)
    found = teacher_logps(Scorer(policy, plan, TeacherWeights.LIVE, 1.0), rollouts, rollout_contexts(rollouts))
    completion = rollouts.completion_ids_BT[3].tolist()
    logits = naive_logits(policy, rollouts.prompt_of(3).task, completion)[: len(completion)]
    expected = torch.log_softmax(logits, -1).gather(1, torch.tensor(completion)[:, None]).squeeze(1)
    torch.testing.assert_close(found[3], expected.where(rollouts.mask_BT[3], 0.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("teacher", [TeacherWeights.SNAPSHOT, TeacherWeights.LIVE])
@pytest.mark.parametrize("family", GENERATIONS)
def test_with_the_prompt_unchanged_delta_is_exactly_zero(family, teacher):
    settings = tiny_settings(lam=1.0, teacher=teacher, temperature=0.8)
    policy = vision_policy(family, settings=settings)
    policy.sync_snapshot()
    rollouts = ragged(vision_rollouts(policy))
    hinted, plain = solution_contexts(policy, rollouts), rollout_contexts(rollouts)
    plan = plan_rollout_batches(rollouts, sequences=range(18), teacher_contexts=[hinted], micro_batch_tokens=600)

    def deltas(reading):
        scored = teacher_logps(Scorer(policy, plan, teacher, settings.temperature), rollouts, reading)
        step_tensors = make_step_tensors(rollouts, torch.ones(18), scored)
        return accumulate_gradients(
            policy, TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=1.0), settings=settings
        ).credit.deltas_BT

    assert torch.equal(deltas(plain), torch.zeros_like(rollouts.sampling_logps_BT))
    assert deltas(hinted).abs().max() > 0.05


def test_student_and_teacher_get_the_same_images_in_the_same_number_of_tokens():
    policy = vision_policy()
    for task in image_tasks(6):
        student = tiny_prompt_builder(policy).prompt(task).student
        teacher = tiny_prompt_builder(policy).with_hint(task, hint="it is 42")
        image_token = policy.vision.image_token_id
        assert teacher.ids.count(image_token) == student.ids.count(image_token)
        assert len(teacher.ids) > len(student.ids)
        if task.images:
            assert teacher.image_spans.images is student.image_spans.images


@pytest.mark.parametrize("num_images", [0, 1])
def test_text_with_the_image_token_is_refused_naming_the_row(num_images):
    policy = vision_policy()
    prompt_builder, task = tiny_prompt_builder(policy), image_task(7, num_images=num_images)
    with pytest.raises(
        ValueError, match=rf"row 7: the prompt has {num_images} images but {num_images + 1} image tokens"
    ):
        prompt_builder.with_hint(task, hint="see <|image_pad|>")
    assert prompt_builder.try_with_hint(task, hint="see <|image_pad|>") is None
    assert prompt_builder.try_with_hint(task, hint="see the image") is not None


def test_image_tokens_that_do_not_match_the_images_are_refused_naming_the_row():
    policy = vision_policy()
    task = image_task(7, num_images=1)
    images = tiny_prompt_builder(policy).prompt(task).student.image_spans.images
    policy.vision.row_images[images.digest] = replace(images, replacements=(images.replacements[0] * 2,))
    with pytest.raises(ValueError, match="row 7: the prompt has 16 image tokens, but the images need 8"):
        tiny_prompt_builder(policy).prompt(task)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (b"not a picture", "row 7: an image cannot be read"),
        (draw_image(1)[:60], "row 7: an image cannot be read"),
        (draw_image(1, kind="JPEG")[:-200], "row 7: an image cannot be read"),
        (draw_image(1, size=(900, 3)), "row 7: the model cannot process an image"),
    ],
    ids=["noise", "half a PNG", "a cut JPEG", "a thread"],
)
def test_a_corrupt_image_is_an_error_naming_the_row(picture, message):
    task = with_images(7, [{"type": "image"}, {"type": "text", "text": "q"}], [picture])
    with pytest.raises(ValueError, match=message):
        tiny_prompt_builder(vision_policy()).prompt(task)


def url(picture, kind="png"):
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def test_all_ways_to_place_two_images_give_the_same_context():
    policy, first, second = vision_policy(), draw_image(1), draw_image(2, kind="JPEG")
    text = {"type": "text", "text": "compare"}
    given = (first, second)
    inside = [
        {"type": "image_url", "image_url": {"url": url(first)}},
        {"type": "input_image", "image_url": url(second, "jpeg")},
        text,
    ]
    variants = [
        with_images(1, inside, ()),
        with_images(1, [{"type": "image"}, {"type": "image"}, text], given),
        with_images(1, "<image><image>compare", given),
        with_images(1, "compare", given),
        with_images(1, [{"type": "image_url", "image_url": {"url": url(first)}}, {"type": "image"}, text], (second,)),
    ]
    contexts = [tiny_prompt_builder(policy).prompt(task).student for task in variants]
    assert len({context.ids for context in contexts}) == 1
    assert len({context.image_spans.images for context in contexts}) == 1
    swapped = tiny_prompt_builder(policy).prompt(with_images(1, "compare", (second, first))).student
    assert swapped.image_spans.images is not contexts[0].image_spans.images


@pytest.mark.parametrize(
    ("content", "images", "message"),
    [
        ("<image> and <image>", 1, "more image placeholders than the row has images .1."),
        ("<image>", 2, "fewer image placeholders than the row has images .2."),
        ([{"type": "image"}], 0, "more image placeholders than the row has images .0."),
        (
            [{"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}],
            0,
            "which is not fetched: use a data URL",
        ),
        ([{"type": "image_url", "image_url": {"url": "data:image/png;base64,A"}}], 0, "not valid base64"),
    ],
)
def test_unmatched_images_and_placeholders_are_errors_naming_the_row(content, images, message):
    task = with_images(7, content, [draw_image(index) for index in range(images)])
    with pytest.raises(ValueError, match=f"row 7: .*{message}"):
        tiny_prompt_builder(vision_policy()).prompt(task)


def test_in_a_row_without_images_the_placeholder_is_text():
    policy = vision_policy()
    context = tiny_prompt_builder(policy).prompt(with_images(7, "write <image> in HTML", ())).student
    assert context.image_spans is None
    assert "write <image> in HTML" in policy.tokenizer.decode(context.ids)


def test_each_rows_images_are_processed_and_encoded_once():
    policy = vision_policy()
    calls = []
    image_processor, body = policy.vision.processor.image_processor, policy.vision.body
    for owner, name in ((image_processor, "preprocess"), (body, "get_image_features")):
        original = getattr(owner, name)

        def counted(*args, original=original, name=name, **options):
            calls.append(name)
            return original(*args, **options)

        setattr(owner, name, counted)
    tasks = [image_task(row, num_images=2) for row in (1, 2, 3)]
    rollouts = vision_rollouts(policy, tasks=tasks)
    hinted = solution_contexts(policy, rollouts)
    plan = plan_rollout_batches(rollouts, sequences=range(9), teacher_contexts=[hinted], micro_batch_tokens=600)
    teacher_logps(Scorer(policy, plan, TeacherWeights.LIVE, 1.0), rollouts, hinted)
    teacher_logps(Scorer(policy, plan, TeacherWeights.BASE, 1.0), rollouts, hinted)
    assert sorted(calls) == ["get_image_features"] * 3 + ["preprocess"] * 3


def test_evicted_cache_entries_are_computed_again():
    made = []

    def make(name):
        made.append(name)
        return {"pixel_values": torch.zeros(25)}  # 100 bytes

    cache = FeatureCache(250)
    for name in ("a", "b", "a", "c", "a", "b"):
        cache.get(name, lambda name=name: make(name))
    assert made == ["a", "b", "c", "b"], "b was least recently used when c was added"
    assert cache.num_bytes == 200


@pytest.mark.parametrize("targets", ["all-linear", ("q_proj", "down_proj")])
@pytest.mark.parametrize("family", GENERATIONS)
def test_lora_adapts_the_language_model_alone(family, targets):
    policy = vision_policy(family, settings=tiny_settings(lora_target_modules=targets), random_adapters=False)
    adapted = {name.rpartition(".lora_")[0] for name in policy.adapter(LIVE_ADAPTER)}
    leaves = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    leaves = leaves if targets == "all-linear" else set(targets)
    assert {name.rpartition(".")[2] for name in adapted} == leaves
    assert all(".language_model.layers." in name for name in adapted)
    assert len(adapted) == 2 * len(leaves)


def test_the_image_affects_the_gradient_and_the_vision_tower_gets_none():
    settings = tiny_settings(method="grpo")
    policy = vision_policy(settings=settings)

    def gradients(draw_it):
        tasks = [image_task(row, num_images=1, draw=draw_it) for row in (1, 2)]
        rollouts = vision_rollouts(policy, tasks=tasks)
        rollouts = replace(rollouts, completion_ids_BT=torch.full((6, 4), 40), mask_BT=torch.ones(6, 4).bool())
        rollouts = replace(rollouts, sampling_logps_BT=torch.zeros(6, 4))
        plan = plan_rollout_batches(rollouts, sequences=range(6), teacher_contexts=[], micro_batch_tokens=9999)
        step_tensors = make_step_tensors(rollouts, torch.ones(6))
        accumulate_gradients(
            policy, TrainBatch(rollouts=rollouts, step_tensors=step_tensors, plan=plan, lam=0.0), settings=settings
        )
        return torch.cat([parameter.grad.flatten() for parameter in policy.adapter(LIVE_ADAPTER).values()])

    first = gradients(draw_image)
    other = gradients(lambda seed, **options: draw_image(seed + 1, **options))
    assert (first - other).abs().max() > 1e-3 * first.abs().max()
    tower = [parameter for name, parameter in policy.model.named_parameters() if ".visual." in name]
    assert tower
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in tower)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_is_loaded_with_its_vision_and_its_adapter_loads_with_peft(family, tmp_path):
    folder_name = save_tiny_vision_model(tmp_path / "base", family)
    settings = tiny_settings()
    policy = load_policy(folder_name, settings=settings)
    with torch.no_grad():
        for parameter in policy.adapter(LIVE_ADAPTER).values():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)) * 0.1)
    task = image_task(1, num_images=2)
    expected = naive_logits(policy, task, [20, 21])
    export_adapter(policy, tmp_path / "adapter", base_model=folder_name)
    base = AutoModelForImageTextToText.from_pretrained(folder_name, dtype=torch.float32)
    plain = naive_logits(replace(policy, model=base), task, [20, 21])
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(naive_logits(replace(policy, model=loaded), task, [20, 21]), expected)
    assert (plain - expected).abs().max() > 0.1


@pytest.mark.parametrize("tasks", [image_tasks, tiny_tasks], ids=["images", "text only"])
def test_a_run_evaluates_before_and_after_and_resumes_bit_identically(tasks, tmp_path):
    settings = tiny_settings(hint="solution", lam=1.0, max_steps=3, checkpoint_interval=1, learning_rate=1e-2)
    folder_name = save_tiny_vision_model(tmp_path)

    def go(recorder, *, resume):
        return run(
            Experiment(
                settings=settings,
                policy=load_policy(folder_name, settings=settings),
                tasks=tasks(6),
                held_out=tasks(3, first_row=50),
                reward=vowel_share,
            ),
            observer=recorder,
            resume=resume,
        )

    uninterrupted, stopped, resumed = Recorder(), Recorder(stop_after=2), Recorder()
    go(uninterrupted, resume=None)
    go(stopped, resume=None)
    go(resumed, resume=stopped.checkpoints[-1].data)
    assert len(uninterrupted.steps) == 3
    assert len(uninterrupted.evaluations) == 2
    assert any(report.metrics["gradient_norm"] > 0 for report in uninterrupted.steps)
    assert resumed.checkpoints[-1].data == uninterrupted.checkpoints[-1].data


def test_a_chat_template_of_the_processor_is_found(tmp_path):
    folder_name = save_tiny_vision_model(tmp_path)
    template = (tmp_path / "chat_template.jinja").read_text()
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    assert AutoTokenizer.from_pretrained(folder_name).chat_template is None
    assert load_policy(folder_name, settings=tiny_settings()).tokenizer.chat_template == template


def test_an_external_teacher_encodes_images_itself(tmp_path):
    folder_name = save_tiny_vision_model(tmp_path)
    settings = tiny_settings(method="opd", teacher_model=folder_name)
    policy = vision_policy(settings=settings)
    teacher = load_external_teacher(settings, student=policy)
    rollouts = vision_rollouts(policy)
    plan = plan_rollout_batches(rollouts, sequences=range(18), teacher_contexts=[], micro_batch_tokens=600)
    own = rollout_contexts(rollouts)
    found = teacher_logps(Scorer(teacher, plan, TeacherWeights.LIVE, 1.0), rollouts, own)
    base = teacher_logps(Scorer(policy, plan, TeacherWeights.BASE, 1.0), rollouts, own)
    torch.testing.assert_close(found, base, rtol=0, atol=1e-5)
    assert teacher.vision.features is not policy.vision.features
    student = teacher_logps(Scorer(policy, plan, TeacherWeights.LIVE, 1.0), rollouts, own)
    assert (found - student).abs().max() > 0.1


def test_a_teacher_with_other_image_processing_is_refused(tmp_path):
    folder_name = save_tiny_vision_model(tmp_path)
    settings = tiny_settings(method="opd", teacher_model=folder_name)
    policy = vision_policy(settings=settings)
    policy.vision.processor.image_processor.image_mean = [0.5, 0.5, 0.5]
    with pytest.raises(ValueError, match="does not process images like the student"):
        load_external_teacher(settings, student=policy)


def test_a_text_only_model_refuses_images(tmp_path):
    policy = load_policy(save_tiny_model(tmp_path), settings=tiny_settings())
    assert policy.vision is None
    assert policy.as_input(torch.tensor([[5]])).tolist() == [[5]]
    with pytest.raises(ValueError, match="row 1: the question contains an image, but the model reads only text"):
        tiny_prompt_builder(policy).prompt(image_task(1, num_images=1))
    assert tiny_tokenizer().get_vocab() == policy.tokenizer.get_vocab()
