"""The signatures that a Python verifier may have: parameters, and the value that each receives.

To add a signature, add an entry to `SIGNATURES` and, if needed, a value to `worker/sandbox/values.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

MESSAGE_KEYS = ("content", "role")
REFERENCE_COLUMNS = ("answer", "solution", "ground_truth")
"""Columns that mean the reference answer if the row names it differently."""


@dataclass(frozen=True, slots=True)
class Signature:
    """`arguments`: parameter -> the value it receives, a name of worker/sandbox/values.py.

    A function matches if it accepts all of `least` and at least one of `arguments`, and requires no others.
    """

    name: str
    arguments: Mapping[str, str]
    least: frozenset[str]
    columns: bool = False
    """Called once for a batch, with lists; every other parameter is a column of the rows."""
    shown: str = ""
    score_key: str | None = None
    """The key of the score in a dict that it may return, whose other numbers are components."""

    @property
    def title(self) -> str:
        """A description for users."""
        return _TITLES[self.name]


def _signature(
    name: str, shown: str, *, least: str, columns: bool = False, score_key: str | None = None, **arguments: str
) -> Signature:
    needed = frozenset(least.split())
    return Signature(name=name, arguments=arguments, least=needed, columns=columns, shown=shown, score_key=score_key)


_TITLES = {
    "short": "the short signature",
    "openai": "OpenAI's signature",
    "verl": "verl's signature",
    "verl_batch": "verl's signature for a batch",
    "trl": "TRL's signature, lists for a whole batch",
    "openrlhf": "OpenRLHF's signature, lists for a whole batch",
    "easyr1": "EasyR1's signature",
    "easyr1_batch": "EasyR1's signature for a batch",
    "predibase": "Predibase's signature",
    "together": "Together's signature",
    "verifiers": "those of these values that its parameters name",
}


SIGNATURES = (
    _signature("short", "(item, output_text)", least="item output_text", item="item", output_text="output_text"),
    _signature("openai", "(sample, item)", least="sample item", sample="sample", item="item"),
    _signature(
        *("verl", "(data_source, solution_str, ground_truth, extra_info)"),
        least="solution_str ground_truth",
        score_key="score",
        data_source="data_source",
        solution_str="output_text",
        ground_truth="ground_truth",
        extra_info="extra_info",
    ),
    _signature(
        *("verl_batch", "(data_sources, solution_strs, ground_truths, extra_infos)"),
        least="solution_strs ground_truths",
        columns=True,
        score_key="score",
        data_sources="data_source",
        solution_strs="output_text",
        ground_truths="ground_truth",
        extra_infos="extra_info",
    ),
    _signature(
        *("trl", "(completions, **columns)"),
        least="completions",
        columns=True,
        prompts="prompt",
        completions="completion",
    ),
    _signature(
        *("openrlhf", "(queries, prompts, labels, **columns)"),
        least="queries prompts",
        columns=True,
        queries="query",
        prompts="prompt_text",
        labels="answer",
    ),
    _signature(
        *("easyr1", "(reward_input)"),
        least="reward_input",
        score_key="overall",
        reward_input="reward_input",
    ),
    _signature(
        *("easyr1_batch", "(reward_inputs)"),
        least="reward_inputs",
        columns=True,
        score_key="overall",
        reward_inputs="reward_input",
    ),
    _signature(
        *("predibase", "(prompt, completion, example)"),
        least="completion example",
        prompt="prompt_text",
        completion="output_text",
        example="item",
    ),
    _signature(
        "together", "(prediction, target)", least="prediction target", prediction="output_text", target="target"
    ),
    _signature(
        *("verifiers", "(prompt, completion, answer, info)"),
        least="",
        prompt="prompt",
        completion="completion",
        answer="answer",
        info="info",
    ),
)
"""In order of precedence."""
