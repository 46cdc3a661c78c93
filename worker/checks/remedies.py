"""What may cure a finding of a pre-flight, as changes of the request that can be tried at once. Pure but for models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from backend.core.hints import Hint
from backend.core.methods import METHODS, MethodName, Part
from backend.core.settings.choices import RowSampling
from backend.core.settings.contradictions import contradiction
from backend.core.settings.imitation import TARGET_WORDS
from backend.core.settings.spec import RlsdSettings
from backend.core.verdict import Finding, Remedy
from backend.db.base import Json
from backend.jobs.examples import example
from backend.verifiers.instructions import fitting, instructions, worked_examples
from backend.verifiers.specs import spec_json
from worker.engine.types import Task
from worker.training.prepare import PreparedJob

WARM_ROWS = 64
"""Worked solutions that a warm start imitates, if there are so many (docs/rlsd.md section 7)."""
EXAMPLES = 3
LONG_COMPLETIONS = 0.5
"""Share of completions cut off from which more room is a remedy."""
RESAMPLE_ROUNDS = 2
TEMPERATURE = 1.0


@dataclass(frozen=True, slots=True)
class Situation:
    """A job that was tested, the figures of its pre-flight, and the base models of this machine."""

    job: PreparedJob
    report: Mapping[str, Any]
    models: Mapping[str, str]

    @property
    def spec(self) -> RlsdSettings:
        return self.job.spec


Rule = Callable[[Situation], Remedy | None]


def with_remedies(findings: Sequence[Finding], situation: Situation) -> list[Finding]:
    """Return the findings with their remedies, the most promising first."""
    return [replace(finding, remedies=tuple(_remedies(finding.code, situation))) for finding in findings]


def as_changes_of_a_job(finding: Finding) -> Finding:
    """Return the finding with changes of a job's request, where a pre-flight's has `x_rlsd` at top level."""
    return replace(
        finding,
        remedies=tuple(replace(remedy, changes=_of_a_job(remedy.changes)) for remedy in finding.remedies),
    )


def _of_a_job(changes: Mapping[str, Any]) -> Json:
    others = {name: value for name, value in changes.items() if name != "x_rlsd"}
    if "x_rlsd" not in changes:
        return others
    return others | {"method": {"reinforcement": {"x_rlsd": changes["x_rlsd"]}}}


def _remedies(code: str, situation: Situation) -> Iterator[Remedy]:
    for rule in RULES.get(code, ()):
        remedy = rule(situation)
        if remedy is not None and _is_valid(situation.spec, remedy.changes.get("x_rlsd", {})):
            yield remedy


def _is_valid(spec: RlsdSettings, changes: Mapping[str, Any]) -> bool:
    """Report whether a job may have these settings with the changes."""
    now = spec.model_dump(by_alias=True)
    merged = {
        name: {**now[name], **value} if isinstance(value, dict) and now[name] is not None else value
        for name, value in changes.items()
    }
    try:
        changed = RlsdSettings.model_validate(now | merged)
    except ValidationError:
        return False
    return contradiction(changed) is None


def _settings(code: str, title: str, **changes: Any) -> Remedy:
    return Remedy(code, title, {"x_rlsd": changes})


def _instruction(situation: Situation) -> Remedy | None:
    grader = spec_json(situation.job.grader)
    fits = fitting(grader)
    if situation.spec.instruction or fits is None:
        return None
    text = next(each.text for each in instructions(grader) if each.code == fits)
    return _settings("instruction", "Tell the model how to answer", instruction=text)


def _examples(situation: Situation) -> Remedy | None:
    spec = situation.spec
    if spec.example_rows:
        return None
    tasks = [task for task in reversed(situation.job.tasks) if not task.images]
    shown = [(task.row, found) for task in tasks if (found := _example_of(task)) is not None][:EXAMPLES]
    if not shown or len(shown) == len(situation.job.tasks):
        return None
    text = worked_examples([found for _row, found in shown], spec_json(situation.job.grader))
    return _settings(
        "examples",
        f"Show the model {len(shown)} rows as examples",
        instruction="\n\n".join(filter(None, (spec.instruction, text))),
        example_rows=[row for row, _found in shown],
    )


def _example_of(task: Task) -> Any:
    return example(task.messages, answer=task.answer, solution=task.solution)


def _warm_start(situation: Situation) -> Remedy | None:
    if situation.spec.warm_start.rows > 0 or METHODS[situation.spec.method].imitates:
        return None
    for target, word in TARGET_WORDS.items():
        count = sum(getattr(task, target) is not None for task in situation.job.tasks)
        if count > 0:
            rows = min(WARM_ROWS, count)
            title = f"Let the model imitate {rows} {word}{'s' if rows > 1 else ''} first"
            return _settings("warm_start", title, warm_start={"rows": rows, "target": target.value})
    return None


def _longer_warm_start(situation: Situation) -> Remedy | None:
    warm = situation.spec.warm_start
    if warm.rows == 0:
        return None
    return _settings("longer_warm_start", "Imitate for twice as long", warm_start={"epochs": 2 * warm.epochs})


def _practice(situation: Situation) -> Remedy | None:
    """Offer practice where every row has a worked solution, unless the model did not profit from seeing it."""
    spec, hint = situation.spec, situation.report.get("hint") or {}
    shown_in_vain = hint.get("kind") == Hint.SOLUTION and hint.get("shown") == 0
    if spec.practice is not None or Part.REWARD not in METHODS[spec.method].parts or shown_in_vain:
        return None
    if any(task.solution is None for task in situation.job.tasks):
        return None
    return _settings("practice", "Practise failed questions with the solution in the prompt", practice={})


def _room(situation: Situation) -> Remedy | None:
    completions = situation.report.get("completions")
    if completions is None or completions["truncated"] <= LONG_COMPLETIONS:
        return None
    tokens = 2 * situation.spec.max_completion_tokens
    return _settings("longer_completions", f"Give answers room for {tokens:,} tokens", max_completion_tokens=tokens)


def _prompt_room(situation: Situation) -> Remedy | None:
    prompts = situation.report["prompts"]
    if prompts["allowed"] < situation.spec.max_prompt_tokens:  # the model's context is the limit
        return None
    tokens = max(lengths["tokens_max"] for lengths in (prompts["student"], prompts["hinted"]) if lengths is not None)
    return _settings("longer_prompts", f"Allow questions of {tokens:,} tokens", max_prompt_tokens=tokens)


def _larger_model(situation: Situation) -> Remedy | None:
    sizes = {name: _weights_bytes(Path(source)) for name, source in situation.models.items()}
    own = sizes.get(situation.job.model, 0)
    larger = {name: size for name, size in sizes.items() if own and size > own}
    if not larger:
        return None
    name = min(larger, key=larger.__getitem__)
    return Remedy("larger_model", f"Use the larger model {name}", {"model": name})


def _weights_bytes(folder: Path) -> int:
    """Return the size of a folder's weights; 0 for a hub id, whose size is not known here."""
    return sum(path.stat().st_size for pattern in ("*.safetensors", "*.gguf") for path in folder.glob(pattern))


def _informative_rows(situation: Situation) -> Remedy | None:
    if situation.spec.sampling is RowSampling.INFORMATIVE or Part.REWARD not in METHODS[situation.spec.method].parts:
        return None
    return _settings("informative_rows", "Prefer rows that are sometimes right", sampling=RowSampling.INFORMATIVE.value)


def _resampling(situation: Situation) -> Remedy | None:
    if situation.spec.resample_rounds > 0 or Part.REWARD not in METHODS[situation.spec.method].parts:
        return None
    return _settings("resampling", "Replace groups without signal", resample_rounds=RESAMPLE_ROUNDS)


def _variety(situation: Situation) -> Remedy | None:
    if situation.spec.temperature >= TEMPERATURE:
        return None
    return _settings("temperature", "Sample at temperature 1", temperature=TEMPERATURE)


def _better_hint(situation: Situation) -> Remedy | None:
    tasks = situation.job.tasks
    if situation.spec.hint is Hint.SOLUTION or any(task.solution is None for task in tasks):
        return None
    return _settings("solution_hint", "Show the teacher worked solutions", hint=Hint.SOLUTION.value)


def _no_hint(_situation: Situation) -> Remedy | None:
    return _settings("without_hint", "Train without a hint (GRPO)", method=MethodName.GRPO.value)


TO_SOLVE: tuple[Rule, ...] = (_instruction, _examples, _warm_start, _longer_warm_start, _practice, _room, _larger_model)
RULES: Mapping[str, tuple[Rule, ...]] = {
    "nothing_solved": TO_SOLVE,
    "nothing_scored": (_instruction, _examples, _warm_start, _room),
    "no_difference": (_variety, *TO_SOLVE),
    "few_mixed_groups": (_informative_rows, _resampling, _warm_start, _practice),
    "truncated": (_room, _warm_start),
    "prompts_too_long": (_prompt_room,),
    "hint_does_not_help": (_better_hint, _no_hint),
}
"""What to try, by the code of the finding."""
