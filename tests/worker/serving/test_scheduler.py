"""Whose turn it is: models that are held come first, nobody waits for ever, and no more is held than allowed."""

from hypothesis import given
from hypothesis import strategies as st

from backend.chat.server_queue import QueuedRequest
from worker.serving.scheduler import PATIENCE_S, STARVING_S, ModelLoad, SchedulerPlan, plan

LONG = STARVING_S + 1


def ask(base: str, *, age: float = 1.0, name: str = "") -> QueuedRequest:
    return QueuedRequest(name or f"{base}-{age}", base, age)


def planned(*waiting: QueuedRequest, held: dict[str, ModelLoad], models: int = 1, requests: int = 4) -> SchedulerPlan:
    return plan(waiting, held=held, most_models=models, most_requests=requests)


def test_what_is_for_a_held_model_is_taken_at_once() -> None:
    fresh = ask("a", age=0.0)
    assert planned(fresh, held={"a": ModelLoad(1, 0.0)}) == SchedulerPlan(None, (fresh,))


def test_a_model_that_nobody_holds_waits_a_moment_for_a_server_that_does() -> None:
    assert planned(ask("a", age=PATIENCE_S / 2), held={}) == SchedulerPlan()
    patient = ask("a", age=PATIENCE_S)
    assert planned(patient, held={}) == SchedulerPlan(None, (patient,))


def test_an_idle_model_makes_room_and_a_busy_one_does_not() -> None:
    other = ask("b")
    assert planned(other, held={"a": ModelLoad(0, 5.0)}) == SchedulerPlan("a", (other,))
    assert planned(other, held={"a": ModelLoad(1, 0.0)}) == SchedulerPlan()
    assert planned(other, held={"a": ModelLoad(1, 0.0)}, models=2) == SchedulerPlan(None, (other,))


def test_the_model_used_longest_ago_makes_room() -> None:
    other = ask("c")
    assert planned(other, held={"a": ModelLoad(0, 5.0), "b": ModelLoad(0, 9.0)}, models=2) == SchedulerPlan(
        "b", (other,)
    )


def test_a_request_that_starves_keeps_later_ones_out_until_there_is_room() -> None:
    starving, later = ask("b", age=LONG), ask("a")
    assert planned(starving, later, held={"a": ModelLoad(2, 0.0)}) == SchedulerPlan()
    assert planned(starving, later, held={"a": ModelLoad(0, 0.0)}) == SchedulerPlan("a", (starving,))
    patient = ask("b", age=STARVING_S - 1)
    assert planned(patient, later, held={"a": ModelLoad(2, 0.0)}) == SchedulerPlan(None, (later,))
    assert planned(patient, later, held={"a": ModelLoad(0, 0.0)}) == SchedulerPlan(None, (later,))


def test_no_more_requests_are_taken_than_a_model_may_have() -> None:
    line = [ask("a", age=5.0 - place, name=str(place)) for place in range(5)]
    assert [taken.id for taken in planned(*line, held={"a": ModelLoad(2, 0.0)}).take] == ["0", "1"]


@given(
    waiting=st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 30)), max_size=8),
    held=st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 3), st.floats(0, 30)), max_size=2),
)
def test_a_plan_keeps_the_limits(waiting: list[tuple[str, float]], held: dict[str, tuple[int, float]]) -> None:
    line = [
        QueuedRequest(str(place), base, age) for place, (base, age) in enumerate(sorted(waiting, key=lambda w: -w[1]))
    ]
    loads = {base: ModelLoad(*load) for base, load in held.items()}
    made = plan(line, held=loads, most_models=2, most_requests=2)
    if made.let_go is not None:
        assert loads[made.let_go].requests == 0
    after = set(loads) - {made.let_go} | {request.base for request in made.take}
    assert len(after) <= 2
    for base in after:
        taken = [request for request in made.take if request.base == base]
        assert len(taken) + (loads[base].requests if base in loads else 0) <= max(
            2, loads[base].requests if base in loads else 0
        )
    places = [int(request.id) for request in made.take]
    assert places == sorted(set(places))
    if line and not any(load.requests for load in loads.values()) and line[0].age_s >= PATIENCE_S:
        assert made.take
