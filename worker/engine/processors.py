"""Owns the processor of a vision-language model: what turns its images into tensors and its messages into tokens.

The processors of the Qwen-VL family also read videos, and that part of them needs torchvision, whose builds fit only
the one torch they were made for. Nothing here reads videos, so without torchvision the same class is loaded without
that part; its images are then prepared by transformers' Pillow backend.
"""

from typing import Any

from transformers import AutoProcessor
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.utils import is_torchvision_available

FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
"""`model_type` of the models that are shown images."""
VIDEO_PART = "video_processor"


def reads_images(config: Any) -> bool:
    """Whether models of this configuration are shown images: those of the families that are known to be read right."""
    return getattr(config, "model_type", None) in FAMILIES


def load_processor(model: str, *, config: Any) -> Any:
    """The processor of a hub id or folder, its chat template also its tokenizer's. OSError when files are missing."""
    if is_torchvision_available():
        processor = AutoProcessor.from_pretrained(model, trust_remote_code=False)
    else:
        processor = without_videos(PROCESSOR_MAPPING[type(config)]).from_pretrained(model)
    if processor.chat_template:  # older repositories keep it where only processors look
        processor.tokenizer.chat_template = processor.chat_template
    return processor


def without_videos(processor_class: Any) -> Any:
    """The processor class without the part that reads videos: it neither asks for it nor loads it."""

    class ImagesOnly(processor_class):  # type: ignore[misc]
        @classmethod
        def get_attributes(cls) -> list[str]:
            return [name for name in super().get_attributes() if name != VIDEO_PART]

    # Saved under the name that everyone else loads it by.
    ImagesOnly.__name__ = ImagesOnly.__qualname__ = processor_class.__name__
    return ImagesOnly
