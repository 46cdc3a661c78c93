"""Models: bases and what was trained of them; one model by `?model=`."""

import streamlit as st

from frontend.api import ApiError, public_api_url
from frontend.api.types import Json
from frontend.components import downloads, rights
from frontend.components.job_feed import JobFeed
from frontend.pages.models import card, use_code
from frontend.session import state
from frontend.widgets import links, problems, tabs
from frontend.words import units
from frontend.words.models import is_trained, title_of

SHOWN = 20
CARD, USE, DOWNLOADS, MANIFEST = "Card", "Use it", "Downloads", "Manifest"

client, zone = state.client(), state.zone()


def listing() -> None:
    st.title("Models", anchor=False)
    st.write(
        "Base models are where training starts; adapters are what came out. Open one to see what it was made of, "
        "to take it home, or to talk to it."
    )
    models = client.models()
    trained = [model for model in models if is_trained(model)]
    st.subheader("Trained here", anchor=False)
    if not trained:
        st.info(
            "Nothing has been trained yet. The adapter of a job that has ended stands here.", icon=":material/inbox:"
        )
        rights.page_link(client, "pages/new_job/page.py", label="Train the first one", icon=":material/add_circle:")
    else:
        rows(trained)
    st.subheader("Base models", anchor=False)
    for model in models:
        if not is_trained(model):
            row(model, about="a base model of this server")


def rows(trained: list[Json]) -> None:
    """The newest first, as many as one can take in at once."""
    wanted = ""
    if len(trained) > SHOWN:
        wanted = st.text_input("Find", placeholder="part of a name or of a base", key="find_model").strip().lower()
    found = [model for model in trained if wanted in f"{title_of(model['id'])} {model['x_base']}".lower()]
    every = len(found) <= SHOWN or st.toggle(f"Show all {len(found)}", key="all_models")
    for model in found if every else found[:SHOWN]:
        row(model, about=origin(model))
    if not found:
        st.caption("No model has this in its name.")


def row(model: Json, *, about: str) -> None:
    name = model["id"]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{name}"):
        with st.container(width="stretch", gap=None):
            icon = ":material/model_training:" if is_trained(model) else ":material/deployed_code:"
            links.within("pages/models/page.py", f"**{title_of(name)}**", icon=icon, key=f"open_{name}", model=name)
            st.caption(about)
        held_out(model)
        st.page_link("pages/playground/page.py", label="Try it", icon=":material/forum:", query_params=asked_in(model))


def origin(model: Json) -> str:
    method = f" with {model['x_method'].upper()}" if model["x_method"] else ""
    return f"of {model['x_base']}{method}, seed {model['x_seed']} · trained {units.moment(model['created'], zone)}"


def held_out(model: Json) -> None:
    figures = model["x_held_out"] or {"before": None, "after": None}
    before, after = figures["before"], figures["after"]
    if after is None:
        return
    change = "" if before is None else f"{before:.2f} → "
    better = before is not None and after > before
    st.badge(
        f"held-out score {change}{after:.2f}",
        color="green" if better else "gray",
        icon=":material/trending_up:" if better else None,
    )


def asked_in(model: Json) -> dict[str, str]:
    """The playground's address: a trained model beside its base, a base alone."""
    if is_trained(model):
        return {"left": str(model["x_base"]), "right": model["id"]}
    return {"left": model["id"]}


def base_page(model: Json) -> None:
    name = model["id"]
    st.title(name, anchor=False)
    st.write("A base model of this server: training leaves it as it is and lays an adapter over it.")
    with st.container(horizontal=True):
        st.page_link("pages/playground/page.py", label="Try it", icon=":material/forum:", query_params={"left": name})
        rights.page_link(client, "pages/new_job/page.py", label="Train it", icon=":material/add_circle:")
    of_it = [each for each in client.models() if each["x_base"] == name]
    st.subheader("Trained of it", anchor=False)
    if of_it:
        rows(of_it)
    else:
        st.caption("Nothing yet.")
    st.subheader("Ask it from a program", anchor=False)
    st.code(use_code.openai(name, api_url=public_api_url()), language="python", wrap_lines=True)


def trained_page(model: Json) -> None:
    job = client.job(model["x_job"])
    manifest = client.manifest(job["id"])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(title_of(model["id"]), anchor=False, width="content")
        held_out(model)
    st.caption(f"{origin(model)} · `{model['id']}`")
    with st.container(horizontal=True):
        if st.button("Try it beside its base", type="primary", icon=":material/forum:", key="to_playground"):
            st.switch_page("pages/playground/page.py", query_params=asked_in(model))
        with rights.popover(client, "Delete", icon=":material/delete:", key="delete_open"):
            st.write(
                "The adapter is deleted and can no longer be asked or downloaded. The job with its figures, its "
                "checkpoints and finished exports stay."
            )
            if st.button("Delete the adapter", type="primary", icon=":material/delete:", key="delete_model"):
                delete(model)
    part = tabs.choice("Show", [CARD, USE, DOWNLOADS, MANIFEST])
    with problems.shown():
        if part == CARD:
            card.card(client, job, manifest)
        elif part == USE:
            card.how_to_use(model["id"], manifest)
        elif part == DOWNLOADS:
            downloads.panel(JobFeed(job=job), client)
        else:
            card.manifest_in_full(job, manifest)


def delete(model: Json) -> None:
    try:
        client.delete_model(model["id"])
    except ApiError as error:
        problems.show(error, title="Not deleted")
        return
    st.toast(f"{title_of(model['id'])} was deleted.", icon=":material/delete:")
    st.switch_page("pages/models/page.py", query_params={})


selected = state.address("model")
if selected is None:
    listing()
else:
    links.within("pages/models/page.py", "All models", icon=":material/arrow_back:", key="all_models_link")
    chosen = client.model(selected)
    if is_trained(chosen):
        trained_page(chosen)
    else:
        base_page(chosen)
