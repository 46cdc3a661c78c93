"""Tiny random vision-language models of each generation of the Qwen-VL family, with their processors.

Built from configurations and saved like a hub repository; nothing is downloaded.
"""

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLMoeConfig,
    Qwen3VLMoeForConditionalGeneration,
    Qwen3VLProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.worker.engine.tiny import tiny_tokenizer
from worker.engine.model.loading import without_videos
from worker.engine.types import Task

VISION_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
CHAT_TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] == 'image' -%}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- else -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}<|end|>"
    "{%- endfor -%}{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
GENERATIONS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
FAMILIES = (*GENERATIONS, "qwen3_vl_moe")
PATCH, MERGE = 4, 2
"""One image token covers 8 x 8 pixels."""

_TEXT = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.15,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
}


def tiny_vision_tokenizer() -> Any:
    """Return the tiny tokenizer with the family's image markers and a template that inserts them."""
    tokenizer = tiny_tokenizer(chat_template=CHAT_TEMPLATE)
    tokenizer.add_special_tokens({"additional_special_tokens": list(VISION_TOKENS)}, replace_extra_special_tokens=False)
    return tokenizer


def tiny_processor(family: str = "qwen3_vl") -> Any:
    """Return the family's processor with the tiny tokenizer."""
    processor_class = {
        "qwen2_vl": Qwen2VLProcessor,
        "qwen2_5_vl": Qwen2_5_VLProcessor,
        "qwen3_vl": Qwen3VLProcessor,
        "qwen3_vl_moe": Qwen3VLProcessor,
    }[family]
    images = Qwen2VLImageProcessorPil(patch_size=PATCH, merge_size=MERGE, min_pixels=64, max_pixels=4096)
    return without_videos(processor_class)(
        image_processor=images, tokenizer=tiny_vision_tokenizer(), chat_template=CHAT_TEMPLATE
    )


def tiny_vision_model(family: str = "qwen3_vl", *, seed: int = 0) -> Any:
    """Return a random model with larger initial weights than usual, so that its distributions are far from flat."""
    tokenizer = tiny_vision_tokenizer()
    ids = {
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        "vision_start_token_id": tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        "vision_end_token_id": tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    }
    text = {**_TEXT, "vocab_size": len(tokenizer), "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
    build = {"qwen2_vl": _qwen2, "qwen2_5_vl": _qwen2_5, "qwen3_vl": _qwen3, "qwen3_vl_moe": _qwen3_moe}[family]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = build(text, ids)
        for module in model.modules():  # so that images matter as much as text
            if type(module).__name__.endswith("PatchMerger"):
                for parameter in module.parameters():
                    if parameter.dim() == 2:
                        torch.nn.init.normal_(parameter, std=0.3)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model.eval()


def _qwen2(text: dict[str, Any], ids: dict[str, int]) -> Any:
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": PATCH}
    vision |= {"spatial_merge_size": MERGE}
    config = Qwen2VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    return Qwen2VLForConditionalGeneration(config)


def _qwen2_5(text: dict[str, Any], ids: dict[str, int]) -> Any:
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": PATCH}
    vision |= {"spatial_merge_size": MERGE, "out_hidden_size": 32, "window_size": 16, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    return Qwen2_5_VLForConditionalGeneration(config)


_QWEN3_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_heads": 2,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "out_hidden_size": 32,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0],
}


def _qwen3(text: dict[str, Any], ids: dict[str, int]) -> Any:
    text = text | {"head_dim": 8}
    config = Qwen3VLConfig(text_config=text, vision_config=_QWEN3_VISION, tie_word_embeddings=True, **ids)
    return Qwen3VLForConditionalGeneration(config)


def _qwen3_moe(text: dict[str, Any], ids: dict[str, int]) -> Any:
    text = text | {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    config = Qwen3VLMoeConfig(text_config=text, vision_config=_QWEN3_VISION, tie_word_embeddings=True, **ids)
    return Qwen3VLMoeForConditionalGeneration(config)


def save_tiny_vision_model(folder: Path, family: str = "qwen3_vl") -> str:
    """Save model and processor, with the video configuration that hub repositories have; return the path."""
    tiny_vision_model(family).save_pretrained(folder)
    save_processor(tiny_processor(family), folder)
    return str(folder)


def save_processor(processor: Any, folder: Path) -> None:
    """Save a processor like a hub repository: with a video configuration as well."""
    processor.save_pretrained(folder)
    video_type = "Qwen3VLVideoProcessor" if "Qwen3" in type(processor).__name__ else "Qwen2VLVideoProcessor"
    video = {"video_processor_type": video_type, "patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": 2}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video))


def draw_image(seed: int, *, size: tuple[int, int] = (24, 16), kind: str = "PNG") -> bytes:
    """Return an encoded image of a few coloured lines, different for every seed."""
    rng = torch.Generator().manual_seed(seed)
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for _ in range(4):
        x0, y0, x1, y1 = (torch.rand(4, generator=rng) * torch.tensor([*size, *size])).int().tolist()
        colour = tuple(torch.randint(0, 256, (3,), generator=rng).tolist())
        draw.line((x0, y0, x1, y1), fill=colour, width=3)
    encoded = io.BytesIO()
    picture.save(encoded, kind)
    return encoded.getvalue()


def image_tasks(count: int, *, first_row: int = 1) -> list[Task]:
    """Return questions with up to two images of different sizes, as PNG and JPEG, and with different hints."""
    return [image_task(row, num_images=row % 3) for row in range(first_row, first_row + count)]


def image_task(row: int, *, num_images: int, draw: Callable[..., bytes] = draw_image) -> Task:
    """Return a question with images before and within its text."""
    kinds, sizes = ("PNG", "JPEG"), ((24, 16), (16, 32), (40, 24))
    pictures = [
        draw(10 * row + index, size=sizes[(row + index) % 3], kind=kinds[index % 2]) for index in range(num_images)
    ]
    parts: list[dict[str, object]] = [{"type": "text", "text": "look: "}]
    for _ in pictures:
        parts += [{"type": "image"}, {"type": "text", "text": "and"}]
    parts.append({"type": "text", "text": "q" * (row % 5 + 1)})
    return with_images(row, parts, pictures)


def with_images(row: int, parts: Sequence[dict[str, object]] | str, pictures: Sequence[bytes]) -> Task:
    """Return a task with one user message."""
    return Task(
        row=row,
        messages=({"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}),
        answer=f"answer {row}",
        solution=f"first this, then that, hence answer {row}",
        trajectory=None,
        privileged=None,
        item={"row": row},
        images=tuple(pictures),
    )
