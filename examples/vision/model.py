"""The untrained model and its processor: a Qwen3-VL of half a million parameters, in Hugging Face layout."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from examples.starter.tokenizer import save_tokenizer, train_tokenizer
from worker.engine.model.loading import without_videos

VISION_TOKENS: Final = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
CHAT_TEMPLATE: Final = (
    "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['content'] is string -%}{{ message['content'] }}"
    "{%- else -%}{%- for part in message['content'] -%}"
    "{%- if part['type'] in ('image', 'image_url') -%}<|vision_start|><|image_pad|><|vision_end|>"
    "{%- elif part['type'] == 'text' -%}{{ part['text'] }}{%- endif -%}"
    "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""ChatML with images within the text, without a default system message."""
PATCH: Final = 8
"""Side of a patch in pixels. Two by two patches are merged into one token: a sign is four tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Shape of the model and length of its pretraining."""

    width: int
    layers: int
    heads: int
    feed_forward: int
    vision_width: int
    vision_layers: int
    context: int
    vocabulary: int
    steps: int
    lessons_per_step: int
    learning_rate: float


FULL: Final = Size(
    width=96,
    layers=3,
    heads=4,
    feed_forward=256,
    vision_width=64,
    vision_layers=2,
    context=512,
    vocabulary=500,
    steps=600,
    lessons_per_step=48,
    learning_rate=3e-3,
)
"""The model in the repository."""


def new_processor(texts: Iterable[str], size: Size) -> Any:
    """Create the family's processor, with a byte-level tokenizer trained on texts."""
    tokenizer = train_tokenizer(texts, vocabulary=size.vocabulary, context=size.context)
    tokenizer.add_special_tokens({"additional_special_tokens": list(VISION_TOKENS)})
    tokenizer.chat_template = CHAT_TEMPLATE
    images = Qwen2VLImageProcessorPil(
        patch_size=PATCH, merge_size=2, size={"shortest_edge": 16 * 16, "longest_edge": 128 * 128}
    )
    return without_videos(Qwen3VLProcessor)(image_processor=images, tokenizer=tokenizer, chat_template=CHAT_TEMPLATE)


def new_model(processor: Any, size: Size) -> Qwen3VLForConditionalGeneration:
    """Create an untrained model of this size."""
    tokenizer, head = processor.tokenizer, size.width // size.heads
    config = Qwen3VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": size.width,
            "intermediate_size": size.feed_forward,
            "num_hidden_layers": size.layers,
            "num_attention_heads": size.heads,
            "num_key_value_heads": size.heads,
            "head_dim": head,
            "max_position_embeddings": size.context,
            "initializer_range": 0.05,
            # Time, height and width share the rotations of a head.
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [head // 2 - 2 * (head // 6), head // 6, head // 6],
            },
        },
        vision_config={
            "depth": size.vision_layers,
            "hidden_size": size.vision_width,
            "intermediate_size": 2 * size.vision_width,
            "num_heads": 4,
            "patch_size": PATCH,
            "spatial_merge_size": 2,
            "out_hidden_size": size.width,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
            "initializer_range": 0.05,
        },
        tie_word_embeddings=True,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
        vision_start_token_id=tokenizer.convert_tokens_to_ids("<|vision_start|>"),
        vision_end_token_id=tokenizer.convert_tokens_to_ids("<|vision_end|>"),
    )
    return Qwen3VLForConditionalGeneration(config)


def save_processor(processor: Any, folder: Path) -> None:
    """Save the processor in the form of hub repositories: with configurations for images and for videos."""
    processor.save_pretrained(folder)
    save_tokenizer(processor.tokenizer, folder)
    video = {
        "video_processor_type": "Qwen3VLVideoProcessor",
        "patch_size": PATCH,
        "merge_size": 2,
        "temporal_patch_size": 2,
    }
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video, indent=2) + "\n", encoding="utf-8")
