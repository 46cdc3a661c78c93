"""Example code for a model: with PEFT, with vLLM, over the API with the official client. Pure."""

import json

from frontend.api.types import Json
from frontend.components.questions import SEPARATOR


def peft(manifest: Json) -> str:
    base, skip = base_place(manifest), _skips(manifest)
    return f'''from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("{base}")
model = PeftModel.from_pretrained(base, "path/of/the/unpacked/adapter")
tokenizer = AutoTokenizer.from_pretrained("{base}")

{_question(manifest)}
prompt = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_dict=True, return_tensors="pt")
answer = model.generate(**prompt, max_new_tokens=512)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1] :], skip_special_tokens={skip}))
'''


def vllm(manifest: Json) -> str:
    rank = manifest["settings"]["lora"]["r"]
    skip = str(_skips(manifest)).lower()
    return f"""vllm serve {base_place(manifest)} \\
  --enable-lora --max-lora-rank {rank} \\
  --lora-modules trained=path/of/the/unpacked/adapter
# then ask for the model "trained" at http://localhost:8000/v1, with "skip_special_tokens": {skip} as in training
{_instruction_in_words(manifest)}{_folded_in_words(manifest)}"""


def _question(manifest: Json) -> str:
    if not _folds(manifest):
        return f"question = {_messages(_instruction(manifest))}"
    system = _instruction(manifest) or "Your system message"
    return f"""# as in training, the system message is the beginning of the user message
question = [{{"role": "user", "content": {_literal(system + SEPARATOR + "Your question")}}}]"""


def _messages(instruction: str) -> str:
    """Write the messages of a question, the instruction first if there is one."""
    system = f'{{"role": "system", "content": {_literal(instruction)}}}, ' if instruction else ""
    return f'[{system}{{"role": "user", "content": "Your question"}}]'


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _instruction_in_words(manifest: Json) -> str:
    told = _instruction(manifest)
    return f"# as in training, the system message is {_literal(told)}\n" if told else ""


def _folded_in_words(manifest: Json) -> str:
    return (
        "# as in training, without the role system: a system message and an empty line begin the user message\n"
        if _folds(manifest)
        else ""
    )


def _folds(manifest: Json) -> bool:
    """Return the setting `fold_system`; there was none when older models were trained."""
    return bool(manifest["settings"].get("fold_system"))


def _instruction(manifest: Json) -> str:
    """Return the setting `instruction`; there was none when older models were trained."""
    return str(manifest["settings"].get("instruction", ""))


def _skips(manifest: Json) -> bool:
    """Return the setting `skip_special_tokens`; models of before there was one were trained as if it was on."""
    return bool(manifest["settings"].get("skip_special_tokens", True))


def openai(model: str, *, api_url: str, manifest: Json | None) -> str:
    """`manifest`: of a trained model."""
    return f'''from openai import OpenAI

client = OpenAI(base_url="{api_url}/v1", api_key="rlsd-...")  # your key
answer = client.chat.completions.create(
    model="{model}",
    messages={_messages("" if manifest is None else _instruction(manifest))},
    temperature=0,
)
print(answer.choices[0].message.content)
'''


def base_place(manifest: Json) -> str:
    """Return the base's Hugging Face id, or a placeholder for the path of a base that is a folder on the server."""
    base = manifest["base_model"]
    return str(base.get("hub_id") or f"path/of/{base['name']}")
