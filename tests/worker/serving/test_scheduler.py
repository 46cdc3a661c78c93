"""Scheduling: loaded models come first, no request waits for ever, and no more models are loaded than allowed."""

from hypothesis import given
from hypothesis import strategies as st

from backend.chat.server_queue import QueuedRequest
from worker.serving.scheduler import REMOTE_GRACE_S, STARVATION_S, ModelLoad, SchedulerPlan, plan

LONG = STARVATION_S + 1


def ask(base: str, *, age: float = 1.0, name: str = "") -> QueuedRequest:
    return QueuedRequest(name or f"{base}-{age}", base, age)


def planned(*waiting: QueuedRequest, loaded: dict[str, ModelLoad], models: int = 1, requests: int = 4) -> SchedulerPlan:
    return plan(waiting, loaded=loaded, max_models=models, max_requests=requests)


def test_what_is_for_a_held_model_is_taken_at_once() -> None:
    fresh = ask("a", age=0.0)
    assert planned(fresh, loaded={"a": ModelLoad(1, 0.0)}) == SchedulerPlan(None, (fresh,))


def test_a_model_that_nobody_holds_waits_a_moment_for_a_server_that_does() -> None:
    assert planned(ask("a", age=REMOTE_GRACE_S / 2), loaded={}) == SchedulerPlan()
    patient = ask("a", age=REMOTE_GRACE_S)
    assert planned(patient, loaded={}) == SchedulerPlan(None, (patient,))


def test_an_idle_model_makes_room_and_a_busy_one_does_not() -> None:
    other = ask("b")
    assert planned(other, loaded={"a": ModelLoad(0, 5.0)}) == SchedulerPlan("a", (other,))
    assert planned(other, loaded={"a": ModelLoad(1, 0.0)}) == SchedulerPlan()
    assert planned(other, loaded={"a": ModelLoad(1, 0.0)}, models=2) == SchedulerPlan(None, (other,))


def test_the_model_used_longest_ago_makes_room() -> None:
    other = ask("c")
    assert planned(other, loaded={"a": ModelLoad(0, 5.0), "b": ModelLoad(0, 9.0)}, models=2) == SchedulerPlan(
        "b", (other,)
    )


def test_a_request_that_starves_keeps_later_ones_out_until_there_is_room() -> None:
    starving, later = ask("b", age=LONG), ask("a")
    assert planned(starving, later, loaded={"a": ModelLoad(2, 0.0)}) == SchedulerPlan()
    assert planned(starving, later, loaded={"a": ModelLoad(0, 0.0)}) == SchedulerPlan("a", (starving,))
    patient = ask("b", age=STARVATION_S - 1)
    assert planned(patient, later, loaded={"a": ModelLoad(2, 0.0)}) == SchedulerPlan(None, (later,))
    assert planned(patient, later, loaded={"a": ModelLoad(0, 0.0)}) == SchedulerPlan(None, (later,))


def test_no_more_requests_are_taken_than_a_model_may_have() -> None:
    line = [ask("a", age=5.0 - place, name=str(place)) for place in range(5)]
    assert [taken.id for taken in planned(*line, loaded={"a": ModelLoad(2, 0.0)}).admit] == ["0", "1"]


@given(
    waiting=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=8),
    loaded=st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 3), st.floats(0, 30)), max_size=2),
)
def test_a_plan_keeps_the_limits(waiting: list[tuple[str, float]], loaded: dict[str, tuple[int, float]]) -> None:
    line = [
        QueuedRequest(str(place), base, age) for place, (base, age) in enumerate(sorted(waiting, key=lambda w: -w[1]))
    ]
    loads = {base: ModelLoad(*load) for base, load in loaded.items()}
    made = plan(line, loaded=loads, max_models=2, max_requests=2)
    if made.unload is not None:
        assert loads[made.unload].requests == 0
    after = set(loads) - {made.unload} | {request.base for request in made.admit}
    assert len(after) <= 2
    for base in after:
        taken = [request for request in made.admit if request.base == base]
        assert len(taken) + (loads[base].requests if base in loads else 0) <= max(
            2, loads[base].requests if base in loads else 0
        )
    places = [int(request.id) for request in made.admit]
    assert places == sorted(set(places))
    if line and not any(load.requests for load in loads.values()) and line[0].age_s >= REMOTE_GRACE_S:
        assert made.admit
