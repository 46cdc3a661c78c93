"""The Re-score tab: a job's completions scored by another verifier, and what changes."""

from typing import Any

import streamlit as st

from frontend.api import Client
from frontend.api.types import Json, VerifierObject
from frontend.components import check_progress, rights, score
from frontend.components.job_feed import JobFeed
from frontend.words import units
from frontend.words.rollouts import success_above

MOST, USUAL = 20_000, 2000
OWN = "This job's own"
VERIFIERS = "rescore_verifiers"
"""Session key of the verifiers; cleared when the page is opened."""
VERDICTS = ("right", "wrong", "abstain", "error", "timeout")


def panel(feed: JobFeed, client: Client) -> None:
    st.caption(
        "Scores the job's completions again, with another verifier or another version, and shows how training would "
        "have changed. The job itself does not change."
    )
    if feed.step == 0:
        st.info(feed.awaited("Completions", after="the first step"), icon=":material/hourglass_empty:")
        return
    key = f"rescore_kept_{feed.job_id}"
    requests = check_progress.find(client, key, kind="rescore", like={}, job=feed.job_id)
    feed.ticks_to_skip += 0 if feed.ended else requests
    grader = _form(feed, client, key=key)
    if check_progress.busy(key) and feed.made_request:
        feed.ticks_to_skip = max(feed.ticks_to_skip, 1)
    may_request = None if feed.settled else not feed.made_request
    found = check_progress.result(
        client,
        key,
        of={"grader": grader},
        notes=check_progress.Notes(
            failed="Re-scoring failed",
            stale="The result below is of another verifier or version than the selected one.",
        ),
        may_request=may_request,
    )
    if found:
        _result(found, above=success_above(feed.job))


def _form(feed: JobFeed, client: Client, *, key: str) -> Json:
    """Show the form and return the chosen grader."""
    grader = _chosen(feed, client)
    first, last, most = st.columns(3)
    start = first.number_input("From step", 1, feed.step, value=None, placeholder="the first", key="rescore_from")
    end = last.number_input("To step", 1, feed.step, value=None, placeholder="the last", key="rescore_to")
    limit = most.number_input(
        "Maximum completions",
        1,
        MOST,
        USUAL,
        step=500,
        key="rescore_limit",
        help="The newest completions of these steps.",
    )
    if rights.button(
        client,
        "Score again",
        icon=":material/published_with_changes:",
        key="rescore_go",
        disabled=check_progress.busy(key),
    ):
        check_progress.start(
            key,
            lambda: client.rescore(feed.job_id, grader=grader, first=start, last=end, limit=int(limit)),
            refused="Re-scoring was not started",
        )
    return grader


def _chosen(feed: JobFeed, client: Client) -> Json:
    """Return the chosen grader: the job's own, in its newest version, or a saved one."""
    reinforcement: Json = feed.job["method"]["reinforcement"]
    own: Json = reinforcement.get("x_verifier", {})
    saved = {verifier["id"]: verifier for verifier in _verifiers(feed, client)}
    own_id = own.get("id")
    names = {key: verifier["name"] for key, verifier in saved.items()}
    if own_id not in saved:
        names = {OWN: OWN, **names}
    keys = list(names)
    left, right = st.columns([3, 1])
    chosen = left.selectbox(
        "Verifier",
        keys,
        index=keys.index(own_id) if own_id is not None and own_id in saved else 0,
        format_func=lambda key: f"{names[key]} (this job's)" if key == own_id else names[key],
        key="rescore_verifier",
    )
    if chosen == OWN:
        grader: Json = reinforcement["grader"]
        return grader
    newest = saved[chosen]["version"]
    version = right.selectbox(
        "Version",
        list(range(newest, 0, -1)),
        format_func=lambda number: (
            f"{number}{' (newest)' if number == newest else ''}"
            + (", used in training" if chosen == own_id and number == own.get("version") else "")
        ),
        key=f"rescore_version_{chosen}_{newest}",
    )
    return {"type": "saved", "id": chosen, "version": version}


def _verifiers(feed: JobFeed, client: Client) -> list[VerifierObject]:
    """Return all verifiers, read once each time the page is opened."""
    kept: list[VerifierObject] | None = st.session_state.get(VERIFIERS)
    if kept is None:
        kept = client.all_verifiers()
        st.session_state[VERIFIERS] = kept
        feed.ticks_to_skip += 0 if feed.ended else 1
    return kept


# -- the result -------------------------------------------------------------------------------------------------------


def _result(result: Json, *, above: float) -> None:
    if result["same_verifier"]:
        st.info(
            "This is the verifier that the job was trained with: any differences below come from its own randomness."
        )
    for notice in result.get("notices", ()):  # results of before the service told them have none
        (st.warning if notice["level"] == "warn" else st.info)(notice["message"])
    (st.success if result["changed"] == 0 else st.info)(result["summary"], icon=":material/balance:")
    if result["fault_share_after"]:
        share = units.percent(result["fault_share_after"], decimals=1)
        st.warning(f"{share} of the verifier calls ended in an error or a timeout.", icon=":material/warning:")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Verdicts", anchor=False, help="Lines: verdicts in training. Columns: verdicts now.")
        st.dataframe(transition_table(result["transitions"]), hide_index=True, alt="Verdicts before and after")
    with right:
        _training(result["training"])
    st.subheader("Rows", anchor=False)
    listed = len(result["rows"])
    first = f"; {listed:,} are listed, those with the most changes first" if listed < result["rows_total"] else ""
    if not result["rows_changed"]:
        first = ""
    st.caption(
        f"{result['rows_changed']:,} of {result['rows_total']:,} rows have completions whose score changed{first}."
    )
    st.dataframe(
        result["rows"],
        hide_index=True,
        height=min(38 + 35 * listed, 320),
        alt="Dataset rows with the mean score before and after",
        column_order=["row", "completions", "changed", "mean_before", "mean_after"],
        column_config={
            "mean_before": st.column_config.NumberColumn("mean before", format="%.3f"),
            "mean_after": st.column_config.NumberColumn("mean after", format="%.3f"),
        },
    )
    if result["examples"]:
        _examples(result["examples"], above=above)


def transition_table(transitions: list[Json]) -> list[dict[str, Any]]:
    """Build a table of verdicts: one line per verdict before, one column per verdict now; unused ones are left out."""
    counts = {(line["before"], line["after"]): line["count"] for line in transitions}
    before = [name for name in VERDICTS if any(name == one for one, _ in counts)]
    after = [name for name in VERDICTS if any(name == other for _, other in counts)]
    return [{"before": name, **{f"now {other}": counts.get((name, other), 0) for other in after}} for name in before]


def _training(found: Json) -> None:
    st.subheader("Effect on training", anchor=False)
    if not found["learns_from_scores"]:
        st.caption(
            "The method of this job does not learn from scores, so another verifier would change only the evaluation."
        )
    table = [
        {"groups": "without signal", "before": found["dead_before"], "now": found["dead_after"]},
        {"groups": "mixed right and wrong", "before": found["mixed_before"], "now": found["mixed_after"]},
        {"groups": "all", "before": found["groups"], "now": found["groups"]},
    ]
    st.dataframe(table, hide_index=True, alt="Groups before and after")
    cut = (
        f" {units.count(found['groups_incomplete'], 'group')} incomplete because of the limit, not counted."
        if found["groups_incomplete"]
        else ""
    )
    st.caption(changed_signs(found["signs_changed"], reversed_=found["signs_reversed"], of=found["advantages"]) + cut)


def changed_signs(changed: int, *, reversed_: int, of: int) -> str:
    """Say how many advantages change their sign; `reversed_`: from positive to negative or back."""
    if not changed:
        return f"None of {of:,} advantages changes its sign."
    turned = f", {reversed_:,} of them from positive to negative or back" if reversed_ else ""
    return f"{changed:,} of {of:,} advantages change their sign{turned}."


def _examples(examples: list[Json], *, above: float) -> None:
    st.subheader("Side by side", anchor=False)
    number = st.selectbox(
        "Completion",
        range(len(examples)),
        format_func=lambda place: _label(examples[place]),
        key=f"rescore_example_{examples[0]['id']}",
    )
    example = examples[number]
    if example["answer"] is not None:
        st.caption(f"Reference answer: {example['answer']}")
    st.code(example["completion"], language=None, wrap_lines=True)
    if example["cut"]:
        st.caption("Only the beginning of the completion is shown.")
    for place, title, record in zip(st.columns(2), ("In training", "Now"), ("before", "after"), strict=True):
        with place:
            st.markdown(f"**{title}**")
            score.show(example[record], above=above, key=f"rescore_{record}")


def _label(example: Json) -> str:
    scores = [_score(example[name]) for name in ("before", "after")]
    return f"step {example['step']}, row {example['row']}, sample {example['sample']}: {' → '.join(scores)}"


def _score(record: Json) -> str:
    return f"{record['score']:g}" if record["score"] is not None else str(record["status"])
