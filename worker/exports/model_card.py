"""The README of an exported model: what it is, how to use it, how it was compared with the adapter it was made of."""

from collections.abc import Mapping
from typing import Any

from backend.db.base import Json
from worker.exports.adapter_zip import what_came_of_it

MADE = {
    "merged": "base and LoRA adapter in one set of weights, in Hugging Face layout: no PEFT is needed to load it",
    "gguf": "base and LoRA adapter in one GGUF file, for llama.cpp and what is built on it",
}


def export_card(manifest: Mapping[str, Any], *, sees: bool) -> str:
    """`manifest` holds `export`, what `worker.exports.job` knows. `sees`: whether the model reads images."""
    base, export = manifest["base_model"], manifest["export"]
    use = _gguf_use(export["file"]) if export["format"] == "gguf" else _merged_use(sees=sees)
    return f"""---
base_model: {base.get("hub_id", base["name"])}
library_name: {"gguf" if export["format"] == "gguf" else "transformers"}
pipeline_tag: {"image-text-to-text" if sees else "text-generation"}
tags: [{", ".join(sorted({"rlsd", str(manifest["settings"]["method"])}))}]
---

# {manifest["job"]["name"]}

`{base["name"]}`, trained for {manifest["steps"]} steps with {manifest["settings"]["method"].upper()} by RLSD Workbench
{manifest["code"]["version"]}: {MADE[export["format"]]}. Weights are stored as {export["dtype"]}. `manifest.json` holds
every setting and the hashes of data, verifier, base and code. The licence is that of the base.

{what_came_of_it(manifest)}

{use}

{_compared(export["comparison"])}
"""


def _merged_use(*, sees: bool) -> str:
    model_class = "AutoModelForImageTextToText" if sees else "AutoModelForCausalLM"
    reader_class, reader = ("AutoProcessor", "processor") if sees else ("AutoTokenizer", "tokenizer")
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
    return f"""With llama.cpp; its `llama-quantize` makes smaller files of this one:

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
completions that the adapter wrote to {comparison["prompts"]} prompts:

| | found | allowed |
|---|---|---|
| mean difference of log-probabilities | {comparison["mean_difference"]:.1e} | {allowed["mean"]:g} |
| largest difference | {comparison["max_difference"]:.1e} | {allowed["max"]:g} |
| most likely tokens that are the same | {comparison["greedy_equal"]:.1%} | {allowed["greedy"]:.0%} |

For scale: the adapter lies {comparison["effect"]:.1e} from its base on the same tokens, on average."""
