"""The adapter as a ZIP: PEFT's two files, a model card and the manifest. Equal content gives equal bytes."""

import json
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.core.beyond_imitation import beyond_imitation
from backend.core.hints import Hint
from backend.core.settings.imitation import TARGET_WORDS
from worker.engine.model.adapter_files import OLDEST_PEFT, export_adapter
from worker.engine.model.policy import Policy

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time in a ZIP, used for all entries, so that equal adapters give equal archives."""
NOTHING_LEARNED = (
    "**Nothing was learned.** No completion of any step had a training signal, so no update was made, and the model\n"
    "answers like its base model."
)


def write_adapter_zip(policy: Policy, path: Path, *, base_model: str, manifest: Mapping[str, Any]) -> None:
    """Write `adapter_config.json`, `adapter_model.safetensors`, `README.md` and `manifest.json` into `path`."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        export_adapter(policy, folder, base_model=base_model)
        (folder / "README.md").write_text(model_card(manifest, reads_images=policy.vision is not None))
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.iterdir()):
                archive.writestr(
                    zipfile.ZipInfo(file.name, date_time=EPOCH), file.read_bytes(), compress_type=zipfile.ZIP_DEFLATED
                )


def model_card(manifest: Mapping[str, Any], *, reads_images: bool) -> str:
    """Build the model card (README): what the adapter is, its results, how to load it."""
    model_class = "AutoModelForImageTextToText" if reads_images else "AutoModelForCausalLM"
    reader_class, reader = ("AutoProcessor", "processor") if reads_images else ("AutoTokenizer", "tokenizer")
    base = manifest["base_model"]
    settings = manifest["settings"]
    hub_id = base.get("hub_id")
    place = hub_id or f"path/of/{base['name']}"
    base_location = (
        f"The base model is `{hub_id}` on the model hub."
        if hub_id
        else f"The base model, `{base['name']}`, is a folder on the server that trained this adapter (SHA-256 of its "
        f"files: `{base['sha256']}`): replace `{place}` below by its path."
    )
    return f"""---
base_model: {base.get("hub_id", base["name"])}
library_name: peft
pipeline_tag: {"image-text-to-text" if reads_images else "text-generation"}
tags: [{", ".join(sorted({"lora", "rlsd", str(settings["method"])}))}]
---

# {manifest["job"]["name"]}

A LoRA adapter for `{base["name"]}`, trained for {manifest["steps"]} steps with {settings["method"].upper()} by RLSD
Workbench {manifest["code"]["version"]}{imitated_first(settings)}. `manifest.json` records all settings and the hashes
of data, verifier, base model and code.

{base_location}

{how_to_ask(settings)}{results_section(manifest)}

With transformers and PEFT ({OLDEST_PEFT} is the oldest version that was tried):

```python
from peft import PeftModel
from transformers import {model_class}, {reader_class}

base = {model_class}.from_pretrained("{place}")
model = PeftModel.from_pretrained(base, "path/of/this/folder")
{reader} = {reader_class}.from_pretrained("{place}")
```

With vLLM, on top of its base model:

```sh
vllm serve {place} --enable-lora --max-lora-rank {settings["lora"]["r"]} --lora-modules trained=path/of/this/folder
```
"""


def imitated_first(settings: Mapping[str, Any]) -> str:
    """Say, as the end of a sentence, what the model imitated before training; empty if nothing."""
    warm: Mapping[str, Any] = settings.get("warm_start", {})
    if not warm.get("rows"):
        return ""
    return f", first by imitating the {TARGET_WORDS[Hint(warm['target'])]}s of up to {warm['rows']} rows"


def how_to_ask(settings: Mapping[str, Any]) -> str:
    """Say what the model was told with every question, and how a system message is to be given if not by its role."""
    told = settings.get("instruction")
    words = (
        "It was trained with this instruction in every question (`instruction`): ask it with the same, as the system "
        f"message or at its beginning.\n\n{_quoted(told)}\n\n"
        if told
        else ""
    )
    if settings.get("fold_system"):
        words += (
            "It was trained without the role `system`: begin the user message with the text of the system message and "
            "an empty line (`fold_system`).\n\n"
        )
    return words


def _quoted(text: str) -> str:
    """Return the text as a code block of Markdown, whatever fences it contains."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def results_section(manifest: Mapping[str, Any]) -> str:
    """Format in Markdown whether anything was learned, the evaluations as a table (empty if there are none), and what
    training added to imitation.
    """
    if manifest["trained_tokens"] == 0 and _kept_evaluation(manifest) is None:
        return f"{NOTHING_LEARNED}\n\n{_held_out_table(manifest)}"
    added = beyond_imitation(manifest["evaluations"], method=manifest["settings"]["method"])
    return _held_out_table(manifest) + ("" if added is None else f"\n\n{added}")


def _held_out_table(manifest: Mapping[str, Any]) -> str:
    kept = _kept_evaluation(manifest)
    rows = "\n".join(
        f"| {evaluation['phase']} | {evaluation['mean']:.3f} | [{evaluation['low']:.3f}, {evaluation['high']:.3f}] "
        f"| {evaluation['n']} | {evaluation['k']} |"
        for evaluation in manifest["evaluations"]
        if kept is None or evaluation["phase"] in ("baseline", "trained") or evaluation["step"] != kept["step"]
    )
    if not rows:
        return ""
    how = f"{_kept(kept)}\n\n" if kept is not None else ""
    return f"""{how}Held-out accuracy (mean over questions of the mean over samples, 95 % interval over questions):

| when | mean | interval | questions | samples each |
|---|---|---|---|---|
{rows}"""


def _kept_evaluation(manifest: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the evaluation of the step that was kept for its score; None if it is just the last one."""
    return next((e for e in manifest["evaluations"] if e.get("selection") and e["phase"] == "trained"), None)


def _kept(evaluation: Mapping[str, Any]) -> str:
    """Say how the step was chosen, and on what it was measured."""
    chosen_on = f"{evaluation['selection']['n']} of the held-out questions"
    which = (
        f"This is the adapter of step {evaluation['step']}, the best one on {chosen_on}."
        if evaluation["step"]
        else f"This is the model before training, which answers like its base: no later step did better on {chosen_on}."
    )
    return f"{which} The results are those on the other {evaluation['n']}, which chose nothing."


INCOMPRESSIBLE = (".safetensors", ".gguf")
"""Weights hardly compress, and trying takes long."""


def write_archive(folder: Path, path: Path) -> None:
    """Move the files of `folder` into the ZIP `path`, in the order of their names."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(file.name, date_time=EPOCH)
            entry.compress_type = zipfile.ZIP_STORED if file.suffix in INCOMPRESSIBLE else zipfile.ZIP_DEFLATED
            with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1024 * 1024)
            file.unlink()
