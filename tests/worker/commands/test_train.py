"""`rlsd train` from the command line, and its adapter: complete, documented, and bit-equal to the trained model."""

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from backend.core.settings.choices import TeacherWeights
from backend.errors import AppError
from tests.commands import Completed, as_typed, rlsd
from tests.service.training import VERIFIER, dataset
from tests.worker.engine.tiny import save_tiny_model
from worker.commands.train import prepare_job
from worker.engine.model.policy_loading import load_policy
from worker.engine.training.checkpoint import restore, unpack
from worker.engine.training.optimizer import make_optimizer

pytestmark = pytest.mark.training

X_RLSD = {
    "num_generations": 4,
    "batch_size": 2,
    "max_completion_tokens": 6,
    "max_prompt_tokens": 100,
    "learning_rate": 0.01,
    "max_steps": 3,
    "eval_samples": 1,
    "lora": {"r": 4, "alpha": 8},
    "device": "cpu",
    "on_failed_check": "go_on",
}


def job_file(folder: Path, **x_rlsd: object) -> Path:
    reinforcement = {"grader": VERIFIER, "x_rlsd": {**X_RLSD, **x_rlsd}}
    path = folder / "job.json"
    path.write_text(
        json.dumps({"model": "replaced", "method": {"type": "reinforcement", "reinforcement": reinforcement}})
    )
    (folder / "rows.jsonl").write_bytes(dataset(8))
    return path


def test_a_teacher_gets_what_the_grader_looks_up_if_rows_have_no_answer(tmp_path: Path) -> None:
    job, rows, grader = job_file(tmp_path), tmp_path / "rows.jsonl", tmp_path / "grader.json"
    lines = [{"messages": [{"role": "user", "content": "q"}], "low": n, "high": n + 1} for n in range(6)]
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    texts = {"input": "{{sample.output_text}}", "reference": "{{item.low}} {{item.high}}"}
    grader.write_text(json.dumps({"type": "string_check", "operation": "eq", **texts}))
    prepared = prepare_job(job, data=rows, verifier=grader, validation=None, mapping=None, model=None)
    assert (prepared.spec.method, prepared.spec.hint) == ("rlsd", "grader")
    assert {task.looked_up for task in prepared.tasks} <= {f"low: {n}\nhigh: {n + 1}" for n in range(6)}
    assert [notice.code for notice in prepared.notices] == ["hint_from_grader"]


def test_a_verifier_in_python_fills_the_jobs_grader_which_keeps_its_range(tmp_path: Path) -> None:
    job, rows, source = job_file(tmp_path), tmp_path / "rows.jsonl", tmp_path / "grade.py"
    source.write_text("def grade(item, output_text):\n    return 3\n")
    body = json.loads(job.read_text())
    body["method"]["reinforcement"]["grader"] = {"type": "python", "range": [0, 5]}
    job.write_text(json.dumps(body))
    grader = prepare_job(job, data=rows, verifier=source, validation=None, mapping=None, model=None).grader
    assert (grader.type, grader.bounds) == ("python", (0.0, 5.0))


def test_validation_rows_that_are_trained_on_are_left_out_with_a_warning(tmp_path: Path) -> None:
    job, rows, validation = job_file(tmp_path), tmp_path / "rows.jsonl", tmp_path / "validation.jsonl"
    validation.write_bytes(dataset(10))
    prepared = prepare_job(job, data=rows, verifier=None, validation=validation, mapping=None, model=None)
    assert sorted(task.row for task in prepared.held_out) == [8, 9]
    assert ("rows_shared", "warn") in {(notice.code, notice.level) for notice in prepared.notices}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Completed]:
    """(base model folder, output folder, the finished process)."""
    folder = tmp_path_factory.mktemp("train")
    model = Path(save_tiny_model(folder / "model"))
    job, output = job_file(folder), folder / "output"
    return model, output, as_typed("train", job, "--data", folder / "rows.jsonl", "--output", output, "--model", model)


def test_a_warm_start_has_its_own_lines_and_the_run_ends_with_what_training_added(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    job = job_file(tmp_path, warm_start={"rows": 4, "epochs": 1}, max_steps=2)
    output = tmp_path / "output"
    process = as_typed("train", job, "--data", tmp_path / "rows.jsonl", "--output", output, "--model", model)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    steps = [line.split("  ")[0] for line in lines if line.startswith(("warm start", "step"))]
    assert steps == ["warm start 1/2", "warm start 2/2", "step 3/4", "step 4/4"]
    assert lines[-2].startswith("Imitation took the held-out score from ")
    evaluations = [json.loads(line) for line in (output / "evaluations.jsonl").read_text().splitlines()]
    assert [(found["step"], found["phase"]) for found in evaluations] == [(0, "baseline"), (2, "warm"), (4, "trained")]
    with zipfile.ZipFile(output / "adapter.zip") as archive:
        card = archive.read("README.md").decode()
    assert lines[-2] in card
    assert "first by imitating the worked solutions of up to 4 rows" in card


def test_a_file_with_nothing_to_imitate_is_refused(tmp_path: Path) -> None:
    job = job_file(tmp_path, method="sft", warm_start={"target": "trajectory"})
    with pytest.raises(AppError, match=r"0 of the \d training rows of 'rows.jsonl' have one"):
        prepare_job(job, data=tmp_path / "rows.jsonl", verifier=None, validation=None, mapping=None, model=None)


def test_it_ends_well_and_its_last_line_names_the_adapter(
    trained: tuple[Path, Path, Completed],
) -> None:
    _, output, process = trained
    assert process.returncode == 0, process.stderr
    last = json.loads(process.stdout.splitlines()[-1])
    adapter = Path(last["adapter"])
    assert adapter == output / "adapter.zip"
    assert last["sha256"] == hashlib.sha256(adapter.read_bytes()).hexdigest()
    lines = (output / "rollouts.jsonl").read_text().splitlines()
    assert len(lines) == 3 * 2 * 4
    assert {json.loads(line)["record"]["status"] for line in lines} == {"ok"}


def test_completions_of_practice_are_written_with_their_hint(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "model")
    job, output = job_file(tmp_path, method="grpo", success_above=0.9, practice={}), tmp_path / "output"
    process = as_typed("train", job, "--data", tmp_path / "rows.jsonl", "--output", output, "--model", model)
    assert process.returncode == 0, process.stderr
    lines = [json.loads(line) for line in (output / "rollouts.jsonl").read_text().splitlines()]
    assert len(lines) == 2 * 3 * 2 * 4, "no completion is right, so every group is practised"
    assert [line["hint"] for line in lines if line["hint"]] == [f"so {line['row']}" for line in lines if line["hint"]]
    assert {line["step"]: 8 for line in lines if line["hint"]} == {1: 8, 2: 8, 3: 8}
    metrics = [json.loads(line)["values"] for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [step["practice_groups"] for step in metrics] == [2, 2, 2]


def test_the_adapter_on_its_base_is_the_trained_model(trained: tuple[Path, Path, Completed], tmp_path: Path) -> None:
    model, output, _ = trained
    with zipfile.ZipFile(output / "adapter.zip") as archive:
        archive.extractall(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    loaded = PeftModel.from_pretrained(base, tmp_path)

    from backend.core.settings.spec import RlsdSettings
    from worker.training.prepare import engine_settings

    settings = engine_settings(RlsdSettings.model_validate(manifest["settings"]), seed=manifest["job"]["seed"])
    policy = load_policy(str(model), settings=settings)
    state = unpack((output / "checkpoint.safetensors").read_bytes())
    restore(policy, make_optimizer(policy, settings=settings), checkpoint=state)

    ids = torch.arange(40).view(2, 20)
    with torch.no_grad():
        expected = policy.model(input_ids=ids).logits
        assert torch.equal(loaded(input_ids=ids).logits, expected)
        with policy.weights(TeacherWeights.BASE):
            assert not torch.allclose(policy.model(input_ids=ids).logits, expected)


def test_the_adapter_holds_one_adapter_a_card_and_where_it_came_from(
    trained: tuple[Path, Path, Completed], tmp_path: Path
) -> None:
    _, output, _ = trained
    with zipfile.ZipFile(output / "adapter.zip") as archive:
        assert sorted(archive.namelist()) == [
            "README.md",
            "adapter_config.json",
            "adapter_model.safetensors",
            "manifest.json",
        ]
        archive.extractall(tmp_path)
    assert not [name for name in load_file(tmp_path / "adapter_model.safetensors") if "snapshot" in name]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    rows = (output.parent / "rows.jsonl").read_bytes()
    assert manifest["data"]["training"]["sha256"] == hashlib.sha256(rows).hexdigest()
    assert manifest["verifier"]["spec"] == VERIFIER
    assert manifest["teacher_model"] is None
    assert manifest["checks"]["self_check"]["verdict"] == "fail", "it scores letters, whatever the answer"
    assert manifest["checks"]["overridden_at"] is None
    assert {"lambda", "eps_w", "learning_rate", "lora"} <= set(manifest["settings"])
    assert [evaluation["phase"] for evaluation in manifest["evaluations"]] == ["baseline", "trained"]
    assert manifest["packages"]["torch"].startswith("2.13.0")
    card = (tmp_path / "README.md").read_text()
    assert "PeftModel.from_pretrained" in card
    assert f"{manifest['evaluations'][1]['mean']:.3f}" in card


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"lambda": 2}, "x_rlsd.lambda"),
        ({"hint": "solutions"}, "x_rlsd.hint"),
        ({"device": "cuda"}, "no CUDA device is visible"),
        ({"max_prompt_tokens": 9}, "more than max_prompt_tokens = 9"),
        ({"max_completion_tokens": 600}, "lower it, or use a model with a longer context"),
    ],
)
def test_a_bad_setting_is_one_sentence_and_leaves_no_adapter(
    trained: tuple[Path, Path, Completed],
    tmp_path: Path,
    change: dict[str, object],
    sentence: str,
) -> None:
    job = job_file(tmp_path, **change)
    process = rlsd("train", job, "--data", tmp_path / "rows.jsonl", "--output", tmp_path / "o", "--model", trained[0])
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1].startswith("rlsd: ")
    assert sentence in process.stderr.splitlines()[-1]
    assert not (tmp_path / "o" / "adapter.zip").exists()


def test_a_run_from_which_nothing_can_be_learned_stops_says_why_and_waits_as_long_again_with_resume(
    trained: tuple[Path, Path, Completed], tmp_path: Path
) -> None:
    job = job_file(tmp_path, max_steps=50, max_dead_steps=2)
    body = json.loads(job.read_text())
    source = "def grade(sample, item):\n    return 0.0\n"
    body["method"]["reinforcement"]["grader"] = {"type": "python", "name": "same", "source": source}
    job.write_text(json.dumps(body))
    arguments = (job, "--data", tmp_path / "rows.jsonl", "--output", tmp_path / "o", "--model", trained[0])
    for resume, last_step in (((), 2), (("--resume",), 4)):
        process = rlsd("train", *arguments, *resume)
        assert process.returncode == 1
        assert f"step {last_step}/50" in process.stdout
        assert f"step {last_step + 1}/50" not in process.stdout
        assert "100% all wrong" in process.stdout
        assert "(no_signal)" in process.stdout
        assert process.stderr.splitlines()[-1].startswith("rlsd: Paused: many consecutive steps")
        assert "--resume" in process.stderr.splitlines()[-1]


def test_it_goes_on_from_its_checkpoint_and_makes_the_same_adapter(
    trained: tuple[Path, Path, Completed], tmp_path: Path
) -> None:
    model, whole, _ = trained
    job, halves = job_file(tmp_path, max_steps=2), tmp_path / "halves"
    arguments = ("--data", tmp_path / "rows.jsonl", "--output", halves, "--model", model)
    assert rlsd("train", job, *arguments).returncode == 0
    second = rlsd("train", job_file(tmp_path), *arguments, "--resume")
    assert second.returncode == 0, second.stderr
    assert "resuming from the checkpoint of step 2" in second.stdout
    assert (halves / "checkpoint.safetensors").read_bytes() == (whole / "checkpoint.safetensors").read_bytes()
    with zipfile.ZipFile(halves / "adapter.zip") as one, zipfile.ZipFile(whole / "adapter.zip") as other:
        tokens = [json.loads(adapter.read("manifest.json"))["trained_tokens"] for adapter in (one, other)]
    assert tokens[0] == tokens[1] > 0
    for name in ("rollouts.jsonl", "evaluations.jsonl"):
        assert len((halves / name).read_text().splitlines()) == len((whole / name).read_text().splitlines())


def test_a_run_with_other_settings_is_refused_and_leaves_the_folder_as_it_was(
    trained: tuple[Path, Path, Completed], tmp_path: Path
) -> None:
    model, whole, _ = trained
    output = tmp_path / "output"
    shutil.copytree(whole, output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    job = job_file(tmp_path, learning_rate=0.02)
    process = rlsd("train", job, "--data", tmp_path / "rows.jsonl", "--output", output, "--model", model, "--resume")
    assert process.returncode == 1
    assert "another run: learning_rate was 0.01 and is now 0.02" in process.stderr.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_two_devices_take_the_same_steps_and_write_one_adapter(
    trained: tuple[Path, Path, Completed], tmp_path: Path
) -> None:
    model, alone, _ = trained
    job, output = job_file(tmp_path, devices=2), tmp_path / "two"
    process = rlsd("train", job, "--data", tmp_path / "rows.jsonl", "--output", output, "--model", model)
    assert process.returncode == 0, process.stderr
    assert process.stdout.count("step 3/3") == 1
    assert Path(json.loads(process.stdout.splitlines()[-1])["adapter"]) == output / "adapter.zip"
    steps = [[json.loads(line) for line in (folder / "metrics.jsonl").open()] for folder in (alone, output)]
    for one, two in zip(*steps, strict=True):
        for name in ("reward_mean", "loss", "gradient_norm"):
            assert two["values"][name] == pytest.approx(one["values"][name], rel=1e-2, abs=1e-4)


def test_a_failing_check_refuses_unless_it_is_ignored_and_the_manifest_says_so(
    trained: tuple[Path, Path, Completed], tmp_path: Path
) -> None:
    job, output = job_file(tmp_path, max_steps=2, on_failed_check="pause"), tmp_path / "o"
    arguments = (job, "--data", tmp_path / "rows.jsonl", "--output", output, "--model", trained[0])
    refused = rlsd("train", *arguments)
    assert refused.returncode == 1
    assert "self-check of the verifier:\nfail: " in refused.stdout
    assert "step 1/2" not in refused.stdout
    assert "--ignore-checks" in refused.stderr.splitlines()[-1]
    ignored = rlsd("train", *arguments, "--ignore-checks")
    assert ignored.returncode == 0, ignored.stderr
    longer = rlsd("train", job_file(tmp_path, on_failed_check="pause"), *arguments[1:], "--resume")
    assert longer.returncode == 0, longer.stderr
    assert "self-check" not in longer.stdout
    with zipfile.ZipFile(output / "adapter.zip") as archive:
        checks = json.loads(archive.read("manifest.json"))["checks"]
    assert checks["self_check"]["verdict"] == "fail"
    assert checks["overridden_at"] > 0


def test_a_folder_with_results_is_not_written_over(trained: tuple[Path, Path, Completed], tmp_path: Path) -> None:
    job = job_file(tmp_path)
    process = rlsd("train", job, "--data", tmp_path / "rows.jsonl", "--output", trained[1], "--model", trained[0])
    assert process.returncode == 1
    assert "is not empty" in process.stderr


def test_usage_names_the_command_that_was_typed() -> None:
    for command in ("train", "preflight", "check"):
        process = rlsd(command, "--no-such-option")
        assert process.returncode == 2
        assert process.stderr.startswith(f"Usage: rlsd {command} ")


def test_a_run_that_keeps_its_best_step_writes_that_adapter_and_says_what_chose_it(tmp_path: Path) -> None:
    best = {"keep": "best", "eval_interval": 1, "held_out_share": 0.5, "learning_rate": 0.05}
    model, output = save_tiny_model(tmp_path / "model"), tmp_path / "output"
    command = ("train", job_file(tmp_path, **best), "--data", tmp_path / "rows.jsonl", "--output", output)
    process = as_typed(*command, "--model", model)
    assert process.returncode == 0, process.stderr
    assert "chosen on 2 of the questions; the result is measured on the other 2. (kept)" in process.stdout
    evaluations = [json.loads(line) for line in (output / "evaluations.jsonl").read_text().splitlines()]
    *candidates, result = evaluations
    scores = [each["selection"]["mean"] for each in candidates]
    assert (result["phase"], result["step"]) == ("trained", scores.index(max(scores)))
    with zipfile.ZipFile(output / "adapter.zip") as archive:
        archive.extractall(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["steps"] == result["step"]
    state = unpack((output / "checkpoint.safetensors").read_bytes())
    assert state.run_state.step == 3
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert stored.keys() == state.kept_adapter.keys()
    assert all(torch.equal(value, state.kept_adapter[name]) for name, value in stored.items())


def test_too_few_held_out_rows_are_not_halved(tmp_path: Path) -> None:
    job = job_file(tmp_path, keep="best", eval_interval=1)
    with pytest.raises(AppError, match="at least 4 are needed, and there are 2"):
        prepare_job(job, data=tmp_path / "rows.jsonl", verifier=None, validation=None, mapping=None, model=None)
