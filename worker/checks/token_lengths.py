"""Lengths of a file's rows in a model's tokens: prompts in its chat template, answers, solutions.

Needs only the tokenizer: transformers' fast tokenizer is loaded without torch. Of a long file, up to `MAX_ROWS` evenly
spaced rows are counted. Images are not counted, because that takes the model's processor.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import select

from backend.base_models import base_models
from backend.checks import Progress
from backend.datasets.analysis.lengths import Lengths
from backend.datasets.rows.rows import NormalRow
from backend.db.base import Json
from backend.db.engine import transaction
from backend.db.files import DatasetRow, File
from backend.errors import AppError, not_found
from worker.engine.rollouts.chat_template import ChatTemplateError, asked, render

MAX_ROWS = 5000
CHUNK_ROWS = 200
LISTED_LINES = 100


def token_lengths(request: Json, progress: Progress) -> Json:
    """Count tokens: `{file_id, model, max_prompt_tokens, max_completion_tokens, fold_system, instruction}` -> lengths
    and rows above the limits.
    """
    tokenizer = _tokenizer(request["model"])
    asking = {"instruction": request.get("instruction", ""), "fold": request.get("fold_system", False)}
    found = {part: Lengths() for part in ("question", "answer", "solution")}
    max_prompt, max_completion = request.get("max_prompt_tokens"), request.get("max_completion_tokens")
    checked = long_completions = with_images = 0
    lines: list[int] = []
    for rows, total in _rows(request["file_id"]):
        texts = [[_prompt(tokenizer, row, **asking), row.reference.answer, row.reference.solution] for row in rows]
        counts = _token_counts(tokenizer, texts)
        for row, (prompt, answer, solution) in zip(rows, counts, strict=True):
            for part, length in zip(found.values(), (prompt, answer, solution), strict=True):
                if length is not None:
                    part.add(length)
            if max_prompt is not None and (prompt or 0) > max_prompt and len(lines) < LISTED_LINES:
                lines.append(row.line)
            worked = answer if solution is None else solution
            long_completions += max_completion is not None and (worked or 0) > max_completion
            with_images += bool(row.images)
        checked += len(rows)
        progress(checked, total, "rows")
    return {
        "model": request["model"],
        "unit": "tokens",
        "checked": checked,
        "with_images": with_images,
        **{part: lengths.to_json() for part, lengths in found.items()},
        "max_prompt_tokens": max_prompt,
        "prompts_above": None if max_prompt is None else found["question"].above(max_prompt),
        "prompt_lines_above": lines,
        "max_completion_tokens": max_completion,
        "completions_above": None if max_completion is None else long_completions,
    }


def _rows(file_id: str) -> Iterator[tuple[list[NormalRow], int]]:
    """Yield (chunk of rows, total number of rows)."""
    with transaction() as session:
        file = session.get(File, file_id)
        if file is None:
            raise not_found("file", file_id)
        step = -(-file.row_count // MAX_ROWS)
        total = -(-file.row_count // max(1, step))
        stored = session.execute(
            select(DatasetRow.number, DatasetRow.line, DatasetRow.normal)
            .where(DatasetRow.file_id == file_id, DatasetRow.number % max(1, step) == 0)
            .order_by(DatasetRow.number)
            .execution_options(yield_per=CHUNK_ROWS)
        )
        for some in stored.partitions():
            yield [NormalRow.from_json(normal, number=number, line=line) for number, line, normal in some], total


def _tokenizer(model: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(base_models().get(model, model))
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")
        reason = reason.replace(base_models().get(model, model), model)
        raise AppError(
            f"The tokenizer of '{model}' could not be loaded: {reason:.300}.", code="model_not_loaded", param="model"
        ) from error
    if not tokenizer.chat_template:
        raise AppError(
            f"The tokenizer of '{model}' has no chat template: use an instruction-tuned model.",
            code="no_chat_template",
            param="model",
        )
    tokenizer.name_or_path = model
    return tokenizer


def _prompt(tokenizer: Any, row: NormalRow, *, instruction: str, fold: bool) -> str:
    """Render the row's prompt, without its images."""
    conversation = [{**message, "content": _text(message["content"])} for message in row.messages]
    try:
        return render(tokenizer, asked(conversation, instruction=instruction, fold=fold), tools=row.tools)
    except ChatTemplateError as error:
        raise AppError(f"Line {row.line}: {error}.", code="chat_template_refuses", param=error.param) from error


def _text(content: str | list[dict[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))


def _token_counts(tokenizer: Any, texts: list[list[str | None]]) -> list[list[int | None]]:
    """Count the tokens of each text, in one tokenizer call."""
    known = [text for row in texts for text in row if text is not None]
    ids = iter(tokenizer(known, add_special_tokens=False, return_attention_mask=False)["input_ids"] if known else [])
    return [[None if text is None else len(next(ids)) for text in row] for row in texts]
