"""Model card (README) of an exported model: what it is, how to use it, how it compares with its adapter."""

from collections.abc import Mapping
from typing import Any

from backend.db.base import Json
from worker.exports.adapter_zip import how_to_ask, imitated_first, results_section

CONTENTS = {
    "merged": "base and LoRA adapter in one set of weights, in Hugging Face layout: no PEFT is needed to load it",
    "gguf": "base and LoRA adapter in one GGUF file, for llama.cpp and programs built on it",
}


def export_card(manifest: Mapping[str, Any], *, reads_images: bool) -> str:
    """Build the model card. The manifest's `export` is written by `worker.exports.job`."""
    base, export = manifest["base_model"], manifest["export"]
    use = _gguf_use(export["file"]) if export["format"] == "gguf" else _merged_use(reads_images=reads_images)
    return f"""---
base_model: {base.get("hub_id", base["name"])}
library_name: {"gguf" if export["format"] == "gguf" else "transformers"}
pipeline_tag: {"image-text-to-text" if reads_images else "text-generation"}
tags: [{", ".join(sorted({"rlsd", str(manifest["settings"]["method"])}))}]
---

# {manifest["job"]["name"]}

`{base["name"]}`, trained for {manifest["steps"]} steps with {manifest["settings"]["method"].upper()} by RLSD Workbench
{manifest["code"]["version"]}{imitated_first(manifest["settings"])}: {CONTENTS[export["format"]]}. Weights are stored as
{export["dtype"]}. `manifest.json` records all settings and the hashes of data, verifier, base model and code. The
licence is that of the base model.

{how_to_ask(manifest["settings"])}{results_section(manifest)}

{use}

{_compared(export["comparison"])}
"""


def _merged_use(*, reads_images: bool) -> str:
    model_class = "AutoModelForImageTextToText" if reads_images else "AutoModelForCausalLM"
    reader_class, reader = ("AutoProcessor", "processor") if reads_images else ("AutoTokenizer", "tokenizer")
    return f"""With transformers:

```python
from transformers import {model_class}, {reader_class}

model = {model_class}.from_pretrained("path/of/this/folder")
{reader} = {reader_class}.from_pretrained("path/of/this/folder")
```

With vLLM:

```sh
vllm serve path/of/this/folder
```"""


def _gguf_use(file: str) -> str:
    return f"""With llama.cpp (its `llama-quantize` makes smaller files from this one):

```sh
llama-server --model {file}
```

With Ollama:

```sh
echo "FROM ./{file}" > Modelfile
ollama create trained --file Modelfile && ollama run trained
```

With transformers:

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("path/of/this/folder", gguf_file="{file}")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder", gguf_file="{file}")
```"""


def _compared(comparison: Json) -> str:
    allowed = comparison["tolerance"]
    return f"""Compared with the adapter on its base, both computing in float32, on {comparison["tokens"]} tokens of
completions that the adapter generated for {comparison["prompts"]} prompts:

| | found | allowed |
|---|---|---|
| mean difference of log-probabilities | {comparison["mean_difference"]:.1e} | {allowed["mean"]:g} |
| largest difference | {comparison["max_difference"]:.1e} | {allowed["max"]:g} |
| most likely tokens that are the same | {comparison["greedy_equal"]:.1%} | {allowed["greedy"]:.0%} |

On the same tokens the adapter's log-probabilities differ from its base model's by {comparison["effect"]:.1e} on
average. The export may lose at most {allowed["lost"]:.0%} of that.{_refused(comparison)}"""


def _refused(comparison: Json) -> str:
    """Name the smaller dtypes that were tried first; empty if there were none."""
    refused = [
        tried["dtype"]
        if tried["mean_difference"] is None
        else f"{tried['dtype']} (mean difference {tried['mean_difference']:.1e})"
        for tried in comparison["tried"]
        if not tried["agrees"]
    ]
    return f"\nWeights stored as {' or '.join(refused)} would not have agreed with the adapter." if refused else ""
