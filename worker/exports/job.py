"""Exports an adapter as a stand-alone model: merge, then write in a dtype, load back, compare, and store if they agree.

Everything runs on the CPU in float32: the bytes do not depend on the worker's device, a training job on the same
machine keeps its GPU memory, and weights are rounded only once. The merged model is kept on disk in float32, and each
dtype is written from there, one after the other, until one agrees. At most one model is in memory at a time.
"""

import json
import shutil
import struct
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backend import blobs
from backend.checks import Progress
from backend.core.settings.spec import RlsdSettings
from backend.datasets.rows.rows import load_rows
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.exports import Export
from backend.db.jobs import Job
from backend.db.training import Checkpoint, step_of_model
from backend.errors import AppError
from backend.jobs.checkpoints import trained_tokens
from backend.jobs.exports import ExportFormat
from backend.settings import settings as environment
from worker.engine.export.equivalence import (
    MAX_TOKENS,
    Agreement,
    ReferenceCompletion,
    fitting_prompts,
    measure_agreement,
    reference_completions,
)
from worker.engine.export.merging import (
    convert_model,
    copy_companions,
    merge_adapter,
    save_model,
)
from worker.engine.model.adapter_files import Adapter, adapter_from_archive, fill_adapter
from worker.engine.model.policy import LIVE_ADAPTER
from worker.engine.model.policy_loading import load_policy
from worker.engine.settings import Settings
from worker.engine.training.checkpoint import adapter_from_checkpoint
from worker.engine.types import Task
from worker.exports.adapter_zip import write_archive
from worker.exports.dtypes import DTYPES, Trial, another_may_agree, comparison_json, dtypes_to_try, stored_trial
from worker.exports.gguf_converter import convert
from worker.exports.model_card import export_card
from worker.training.manifest import job_manifest
from worker.training.prepare import (
    engine_settings,
    identity,
    load,
    load_model_assets,
    model_source,
    tasks_of,
    use_threads,
)

GGUF_FILE = "model.gguf"


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """An export to make, read from the database."""

    export_id: str
    format: ExportFormat
    dtype: str | None
    """The requested dtype; None for the smallest that agrees."""
    model: str
    step: int
    spec: RlsdSettings
    seed: int
    adapter: Adapter
    tasks: Sequence[Task]
    base_sha256: str | None
    """Hash of the base model's files at training; None if it was not recorded."""


@dataclass(frozen=True, slots=True)
class MergedModel:
    """The merged model on disk, in float32, with what it is compared with."""

    folder: Path
    model_class: Any
    native: str
    """Dtype of the base model's files."""
    base: Json
    """Identity of the base model."""
    reads_images: bool
    references: Sequence[ReferenceCompletion]
    """Completions scored by the adapter before merging."""


def run_export(request: Json, progress: Progress) -> Json:
    """Run the check `export`: `{export_id}` -> `{comparison}`; the ZIP is stored if it agrees. Raises AppError."""
    order = _load_order(str(request["export_id"]))
    copies = order.format is ExportFormat.MERGED  # of the tokenizer's files
    use_threads(processes=1)
    settings = engine_settings(order.spec, seed=order.seed).model_copy(
        update={"device": "cpu", "dtype": "float32", "gradient_checkpointing": False}
    )
    with tempfile.TemporaryDirectory(prefix="rlsd-export-") as scratch:
        native = _native_dtype(order)
        dtypes = dtypes_to_try(order.format, native=native, requested=order.dtype)
        stages = _Stages(progress, total=3 + 2 * len(dtypes))
        merged = _merge(order, Path(scratch) / "merged", settings=settings, native=native, stages=stages)
        trials: list[Trial] = []
        for dtype in dtypes:
            folder = Path(scratch) / dtype
            stages.begin(f"writing {dtype}")
            written_by = _write(order, merged, folder, dtype=dtype)
            stages.begin(f"comparing {dtype}")
            found = _compare(folder, merged, settings=settings, dtype=dtype)
            faults = tuple(found.faults(tokenizer_is_copied=copies))
            trials.append(Trial(dtype, found, faults))
            if stored_trial(trials, requested=order.dtype) is not None:
                stages.begin("storing")
                _store(order, merged, folder, comparison=comparison_json(trials, requested=order.dtype),
                       written_by=written_by, scratch=Path(scratch))  # fmt: skip
            if not faults or not another_may_agree(trials, tokenizer_is_copied=copies):
                break
            shutil.rmtree(folder)
    return {"comparison": comparison_json(trials, requested=order.dtype)}


@dataclass(slots=True)
class _Stages:
    """Progress of an export, by stages."""

    progress: Progress
    total: int
    done: int = -1

    def begin(self, stage: str) -> None:
        self.done += 1
        self.progress(self.done, self.total, f"stages: {stage}")


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
            adapter = adapter_from_archive(blobs.read(session, job.adapter_sha256))
            step = step_of_model(session, job)
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
            dtype=export.dtype,
            model=job.model,
            step=step,
            spec=spec,
            seed=job.seed,
            adapter=adapter,
            tasks=[*held_out, *training],
            base_sha256=((job.manifest or {}).get("base_model") or {}).get("sha256"),
        )


def _merge(order: ExportOrder, folder: Path, *, settings: Settings, native: str, stages: _Stages) -> MergedModel:
    """Write the merged model to `folder`, in float32, after its adapter has sampled completions."""
    stages.begin("loading the base")
    policy = load(order.model, settings=settings)
    reads_images = policy.vision is not None
    base = identity(order.model, policy)
    _require_exportable(order, base=base, reads_images=reads_images)
    try:
        fill_adapter(policy, LIVE_ADAPTER, order.adapter.tensors)
        tokens = min(order.spec.max_completion_tokens, MAX_TOKENS)
        prompts = fitting_prompts(order.tasks, policy=policy, tokens=tokens)
        if not prompts:
            raise ValueError("no prompt of the job's files leaves room for a completion, so nothing can be compared")
        references = reference_completions(policy, prompts, tokens=tokens, seed=order.seed)
        stages.begin("merging")
        tokenizer, processor = policy.tokenizer, None if policy.vision is None else policy.vision.processor
        model = merge_adapter(policy)
    except ValueError as error:
        raise AppError(f"This adapter cannot be exported: {error}.", code="not_exportable") from error
    save_model(model, folder, dtype=torch.float32, tokenizer=tokenizer, processor=processor)
    copy_companions(model_source(order.model), folder)
    return MergedModel(folder, type(model), native, base, reads_images, references)


def _require_exportable(order: ExportOrder, *, base: Json, reads_images: bool) -> None:
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


def _write(order: ExportOrder, merged: MergedModel, folder: Path, *, dtype: str) -> str:
    """Write the model to `folder` in the order's format and this dtype. Returns the name of the writer."""
    folder.mkdir()
    if order.format is ExportFormat.GGUF:
        path = folder.parent / GGUF_FILE  # a converter may leave other files in its folder
        writer = convert(merged.folder, path, name=order.model, dtype=dtype)
        path.rename(folder / GGUF_FILE)
        return writer
    convert_model(merged.folder, folder, model_class=merged.model_class, dtype=getattr(torch, dtype))
    return "transformers"


def _compare(folder: Path, merged: MergedModel, *, settings: Settings, dtype: str) -> Agreement:
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
    return measure_agreement(model, merged.references, dtype=dtype)


def _store(
    order: ExportOrder, merged: MergedModel, folder: Path, *, comparison: Json, written_by: str, scratch: Path
) -> None:
    with transaction() as session:
        job = session.get_one(Job, _existing(session.get(Export, order.export_id)).job_id)
        manifest = job.manifest or job_manifest(
            session, job, step=order.step, base=merged.base, teacher=None, sandbox={}
        )
        tokens = trained_tokens(session, job, step=order.step)
    manifest = manifest | {"steps": order.step, "trained_tokens": tokens}
    manifest["export"] = {
        "format": order.format.value,
        "dtype": comparison["dtype"],
        "written_by": written_by,
        "comparison": comparison,
    } | ({"file": GGUF_FILE} if order.format is ExportFormat.GGUF else {})
    manifest["evaluations"] = [
        found
        for found in manifest["evaluations"]
        if found.get("step", 0) == order.step or (found.get("step", 0) < order.step and found.get("phase") != "trained")
    ]
    (folder / "README.md").write_text(export_card(manifest, reads_images=merged.reads_images))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    path = scratch / "export.zip"
    write_archive(folder, path)
    with transaction() as session, path.open("rb") as file:
        blob = blobs.put(session, iter(lambda: file.read(blobs.CHUNK_BYTES), b""))
        _existing(session.get(Export, order.export_id, with_for_update=True)).sha256 = blob.sha256


def _native_dtype(order: ExportOrder) -> str:
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
