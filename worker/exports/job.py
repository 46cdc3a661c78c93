"""Exports an adapter as a stand-alone model: merge, write, load back, compare, and store if they agree.

Everything runs on the CPU in float32: the bytes do not depend on the worker's device, a training job on the same
machine keeps its GPU memory, and weights are rounded to the base model's dtype only once. At most one model is in
memory at a time.
"""

import json
import math
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from backend import blobs
from backend.checks import Progress
from backend.datasets.rows.rows import load_rows
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.exports import Export
from backend.db.jobs import Job
from backend.db.training import Checkpoint
from backend.errors import AppError
from backend.jobs.exports import ExportFormat
from backend.jobs.spec import RlsdSettings
from backend.settings import settings as environment
from worker.engine.export.equivalence import (
    MAX_TOKENS,
    TOLERANCES,
    Agreement,
    ReferenceCompletion,
    fitting_prompts,
    measure_agreement,
    reference_completions,
)
from worker.engine.export.merging import copy_companions, fill_adapter, merge_adapter, save_model
from worker.engine.model.adapter_files import Adapter, adapter_from_archive
from worker.engine.model.policy import load_policy
from worker.engine.settings import Settings
from worker.engine.training.checkpoint import adapter_from_checkpoint
from worker.engine.types import Task
from worker.exports.adapter_zip import write_archive
from worker.exports.gguf_converter import convert
from worker.exports.model_card import export_card
from worker.training.manifest import job_manifest, trained_tokens
from worker.training.prepare import (
    engine_settings,
    identity,
    load,
    load_model_assets,
    model_source,
    tasks_of,
    use_threads,
)

STAGES = ("loading the base", "merging", "writing", "comparing", "storing")
GGUF_FILE = "model.gguf"
DTYPES = frozenset(str(dtype).removeprefix("torch.") for dtype in TOLERANCES)


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """An export to make, read from the database."""

    export_id: str
    format: ExportFormat
    model: str
    step: int
    spec: RlsdSettings
    seed: int
    adapter: Adapter
    tasks: Sequence[Task]
    base_sha256: str | None
    """Hash of the base model's files at training; None if it was not recorded."""


def run_export(request: Json, progress: Progress) -> Json:
    """Run the check `export`: `{export_id}` -> `{comparison}`; the ZIP is stored if it agrees. Raises AppError."""
    order = _load_order(str(request["export_id"]))
    use_threads(processes=1)
    settings = replace(
        engine_settings(order.spec, seed=order.seed), device="cpu", dtype="float32", gradient_checkpointing=False
    )
    with tempfile.TemporaryDirectory(prefix="rlsd-export-") as scratch:
        folder = Path(scratch) / "model"
        folder.mkdir()
        facts, written = _export_model(order, folder, settings=settings, progress=progress)
        _report_stage(progress, 3)
        found = _compare(order, folder, written, settings=settings, dtype=facts["dtype"])
        comparison = comparison_json(found, dtype=facts["dtype"], format=order.format)
        if comparison["agrees"]:
            _report_stage(progress, 4)
            _store(order, folder, facts=facts | {"comparison": comparison}, scratch=Path(scratch))
    return {"comparison": comparison}


def comparison_json(found: Agreement, *, dtype: str, format: ExportFormat) -> Json:
    """Convert the comparison to JSON. Figures have three digits, so that they hardly differ between machines."""
    faults = found.faults(tokenizer_is_copied=format is ExportFormat.MERGED)
    if faults:
        summary = f"The exported model differs from the adapter, so it was not stored: {'; '.join(faults)}."
    else:
        summary = (
            f"The exported model agrees with the adapter: on {found.tokens} tokens, log-probabilities differ by "
            f"{found.mean_difference:.1e} on average, {found.max_difference:.1e} at most, and {found.greedy_equal:.1%} "
            "of the most likely tokens are the same."
        )
        if found.read_alike < found.prompts:
            summary += (
                f" With transformers' reading of its vocabulary, {found.prompts - found.read_alike} of {found.prompts} "
                "prompts are tokenised differently: test the file in the program you will use it with."
            )
    return {
        "agrees": not faults,
        "summary": summary,
        "dtype": dtype,
        "prompts": found.prompts,
        "tokens": found.tokens,
        "max_difference": _figure(found.max_difference),
        "mean_difference": _figure(found.mean_difference),
        "greedy_equal": _figure(found.greedy_equal),
        "effect": _figure(found.effect),
        "read_alike": found.read_alike,
        "tolerance": {"max": found.tolerance.max, "mean": found.tolerance.mean, "greedy": found.tolerance.greedy},
    }


def _load_order(export_id: str) -> ExportOrder:
    with transaction() as session:
        export = session.get(Export, export_id)
        if export is None:
            raise _deleted()
        job = session.get_one(Job, export.job_id)
        spec = RlsdSettings.model_validate(job.spec)
        if export.checkpoint_id is None:
            if job.adapter_sha256 is None:
                raise AppError(f"The adapter of job '{job.id}' was deleted.", status=404, code="not_found")
            adapter, step = adapter_from_archive(blobs.read(session, job.adapter_sha256)), job.step
        else:
            checkpoint = session.get_one(Checkpoint, export.checkpoint_id)
            data = blobs.read(session, checkpoint.sha256)
            adapter, step = adapter_from_checkpoint(data, r=spec.lora.r, alpha=spec.lora.alpha), checkpoint.step
        rows = load_rows(session, job.training_file)
        validation = None if job.validation_file is None else load_rows(session, job.validation_file)
        training, held_out = tasks_of(rows, spec=spec, verifier=None, seed=job.seed, validation=validation)
        return ExportOrder(
            export_id=export_id,
            format=ExportFormat(export.format),
            model=job.model,
            step=step,
            spec=spec,
            seed=job.seed,
            adapter=adapter,
            tasks=[*held_out, *training],
            base_sha256=((job.manifest or {}).get("base_model") or {}).get("sha256"),
        )


def _export_model(
    order: ExportOrder, folder: Path, *, settings: Settings, progress: Progress
) -> tuple[Json, list[ReferenceCompletion]]:
    """Write the model to `folder`. Returns facts about it, and completions scored by the adapter before merging."""
    _report_stage(progress, 0)
    dtype = _stored_dtype(order)
    policy = load(order.model, settings=settings)
    reads_images = policy.vision is not None
    base = identity(order.model, policy)
    if order.base_sha256 not in (None, base.get("sha256")):
        raise AppError(
            f"The files of the model '{order.model}' have changed since the job was trained: restore the originals.",
            code="base_changed",
            param="model",
        )
    if order.format is ExportFormat.GGUF and reads_images:
        raise AppError(
            "Vision-language models cannot be exported as GGUF: use the merged format.",
            code="gguf_not_known",
            param="format",
        )
    try:
        fill_adapter(policy, order.adapter.tensors)
        tokens = min(order.spec.max_completion_tokens, MAX_TOKENS)
        prompts = fitting_prompts(order.tasks, policy=policy, tokens=tokens)
        if not prompts:
            raise ValueError("no prompt of the job's files leaves room for a completion, so nothing can be compared")
        written = reference_completions(policy, prompts, tokens=tokens, seed=order.seed)
        _report_stage(progress, 1)
        tokenizer, processor = policy.tokenizer, None if policy.vision is None else policy.vision.processor
        model = merge_adapter(policy)
    except ValueError as error:
        raise AppError(f"This adapter cannot be exported: {error}.", code="not_exportable") from error
    _report_stage(progress, 2)
    save_model(model, folder, dtype=getattr(torch, dtype), tokenizer=tokenizer, processor=processor)
    copy_companions(model_source(order.model), folder)
    facts = {
        "format": order.format.value,
        "dtype": dtype,
        "base": base,
        "reads_images": reads_images,
        "written_by": "transformers",
    }
    if order.format is ExportFormat.GGUF:
        del model, policy
        facts |= {"file": GGUF_FILE, "written_by": _to_gguf(folder, name=order.model, dtype=dtype)}
    return facts, written


def _to_gguf(folder: Path, *, name: str, dtype: str) -> str:
    """Replace the folder's content by one GGUF file. Returns the name of the writer."""
    path = folder.parent / GGUF_FILE
    writer = convert(folder, path, name=name, dtype=dtype)
    for file in folder.iterdir():
        file.unlink()
    path.rename(folder / GGUF_FILE)
    return writer


def _compare(
    order: ExportOrder, folder: Path, written: Sequence[ReferenceCompletion], *, settings: Settings, dtype: str
) -> Agreement:
    """Load the written model as a user would, and compare it with the adapter's completions."""
    try:
        model = load_policy(str(folder), settings=settings, allow_remote_code=environment().allow_remote_code)
    except (ValueError, struct.error) as error:  # a GGUF file that is cut short
        reason = str(error).replace(str(folder), "the export")
        raise AppError(
            f"The exported files cannot be loaded for comparison, so they were not stored: {reason.rstrip('.')}.",
            code="not_comparable",
            param="format",
        ) from error
    return measure_agreement(model, written, dtype=getattr(torch, dtype))


def _store(order: ExportOrder, folder: Path, *, facts: Json, scratch: Path) -> None:
    with transaction() as session:
        job = session.get_one(Job, _existing(session.get(Export, order.export_id)).job_id)
        manifest = job.manifest or job_manifest(
            session, job, step=order.step, base=facts["base"], teacher=None, sandbox={}
        )
        tokens = trained_tokens(session, job.id, step=order.step)
    manifest = manifest | {"steps": order.step, "trained_tokens": tokens}
    manifest["export"] = {k: v for k, v in facts.items() if k not in ("base", "reads_images")}
    manifest["evaluations"] = [found for found in manifest["evaluations"] if found.get("step", 0) <= order.step]
    (folder / "README.md").write_text(export_card(manifest, reads_images=facts["reads_images"]))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    path = scratch / "export.zip"
    write_archive(folder, path)
    with transaction() as session, path.open("rb") as file:
        blob = blobs.put(session, iter(lambda: file.read(blobs.CHUNK_BYTES), b""))
        _existing(session.get(Export, order.export_id, with_for_update=True)).sha256 = blob.sha256


def _stored_dtype(order: ExportOrder) -> str:
    """Dtype of the base model's files, else that of training. Raises AppError for a quantised base model."""
    config = load_model_assets(order.model).config
    if getattr(config, "quantization_config", None) is not None:
        raise AppError(
            f"The weights of '{order.model}' are quantised, so the adapter cannot be merged: use it as an adapter.",
            code="not_exportable",
            param="format",
        )
    named = getattr(config, "dtype", None) or getattr(config.get_text_config(), "dtype", None)
    name = str(named).removeprefix("torch.")
    return name if name in DTYPES else order.spec.dtype


def _existing(export: Export | None) -> Export:
    if export is None:
        raise _deleted()
    return export


def _deleted() -> AppError:
    return AppError("The export was deleted before it was finished.", status=404, code="not_found")


def _figure(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None


def _report_stage(progress: Progress, stage: int) -> None:
    progress(stage, len(STAGES), f"stages: {STAGES[stage]}")
