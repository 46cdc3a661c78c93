"""Fields of job settings; an empty field means the preset or the default."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import streamlit as st

from frontend.api.types import Json
from frontend.words.job_settings import Setting, SettingFacts, facts_of

YES_NO = {"yes": True, "no": False}


def fields(
    settings: Sequence[Setting],
    *,
    schema: Json,
    key: str,
    columns: int,
    planned: Mapping[str, float],
    as_published: Collection[str] = (),
) -> Json:
    """Show the fields and return the settings that are filled in, by name.

    `planned`: defaults that replace the API's; `as_published`: settings whose default depends on the method.
    """
    filled: Json = {}
    places = st.columns(columns)
    number = 0
    for setting in settings:
        if not setting.is_shown(filled):
            continue
        with places[number % columns]:
            value = _field(
                setting,
                about=facts_of(schema, setting.name),
                usual=f"{planned[setting.name]:,}" if setting.name in planned else None,
                depends=setting.by_preset or setting.name in as_published,
                key=f"{key}_{setting.name}",
            )
        number += 1
        if value is not None:
            filled[setting.name] = value
    return filled


def _field(setting: Setting, *, about: SettingFacts, usual: str | None, depends: bool, key: str) -> Any:
    """Show a field. `usual`: what applies if it is empty, other than the API's default."""
    if usual is None:
        usual = "set by method and preset" if depends else _usual(setting, about)
    about_it = "\n\n".join(
        filter(None, (about.description, f"**Why {usual}:** {setting.why}" if setting.why else None))
    )
    if setting.kind in ("choice", "yes_no"):
        choices = list(about.choices) if setting.kind == "choice" else list(YES_NO)
        chosen = st.selectbox(
            setting.title,
            choices,
            index=None,
            format_func=lambda value: about.titles.get(value, value),
            placeholder=usual,
            help=about_it,
            key=key,
        )
        return YES_NO[chosen] if setting.kind == "yes_no" and chosen else chosen
    if setting.kind in ("text", "pair"):
        written = st.text_input(setting.title, placeholder=usual, help=about_it, key=key).strip()
        return (pair(written) if setting.kind == "pair" else written) if written else None
    return st.number_input(
        setting.title,
        value=None,
        step=1 if setting.kind == "whole" else step_of(about.default),
        format="%d" if setting.kind == "whole" else "%g",
        placeholder=usual,
        help=about_it,
        key=key,
    )


def _usual(setting: Setting, about: SettingFacts) -> str:
    if about.default is None:
        return "none" if setting.kind == "text" else "the default"
    if setting.kind == "yes_no":
        return "yes" if about.default else "no"
    if setting.kind == "whole":
        return f"{about.default:,}"
    return about.titles.get(str(about.default), str(about.default))


def step_of(default: object) -> float:
    """Return the step of the + button: a tenth of the default's order of magnitude; 0.01 if there is none."""
    known = isinstance(default, int | float) and default > 0
    return 10.0 ** (math.floor(math.log10(float(default))) - 1) if known else 0.01  # type: ignore[arg-type]


def pair(written: str) -> list[float] | str:
    """Parse `0.8, 4` as two numbers, `0.2` as the same twice; anything else goes to the API, which refuses it."""
    try:
        numbers = [float(part) for part in written.split(",")]
    except ValueError:
        return written
    return numbers * 2 if len(numbers) == 1 else numbers
