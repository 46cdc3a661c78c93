"""Widgets for job settings: empty means that the preset or the default decides."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from frontend.job_settings import Setting, known
from frontend.shapes import Json

YES_NO = {"yes": True, "no": False}


def fields(settings: Sequence[Setting], *, schema: Json, key: str, columns: int) -> Json:
    """The settings that were filled in, by name."""
    filled: Json = {}
    places = st.columns(columns)
    for number, setting in enumerate(settings):
        with places[number % columns]:
            value = _field(setting, schema=schema, key=f"{key}_{setting.name}")
        if value is not None:
            filled[setting.name] = value
    return filled


def _field(setting: Setting, *, schema: Json, key: str) -> Any:
    about = known(schema, setting.name)
    if setting.by_preset or about.default is None:
        usual = "as the preset says" if setting.by_preset else "the default"
    else:
        usual = f"{about.default:,}" if setting.kind == "whole" else str(about.default)
    if setting.kind in ("choice", "yes_no"):
        choices = list(setting.choices or YES_NO)
        chosen = st.selectbox(setting.label, choices, index=None, placeholder=usual, help=about.description, key=key)
        return YES_NO[chosen] if setting.kind == "yes_no" and chosen else chosen
    if setting.kind == "whole":
        return st.number_input(
            setting.label,
            value=None,
            step=1,
            placeholder=usual,
            help=about.description,
            key=key,
        )
    return st.number_input(
        setting.label,
        value=None,
        step=0.01,
        format="%g",
        placeholder=usual,
        help=about.description,
        key=key,
    )
