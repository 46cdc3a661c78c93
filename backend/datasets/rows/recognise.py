"""Recognition of dataset formats: which ecosystem a row was written for, and which columns hold its parts.

Rules are tried in order on the first row; the first that fits applies to the whole file. A mapping given by the user
overrides all rules. To support another format, add an entry to `RULES`. Columns are found whatever their case, blanks
and invisible characters. Where two columns could be the question or the answer, the file is refused, naming both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backend.datasets.rows.accepted import LISTS, SETS
from backend.datasets.rows.asked_about import CONTEXT, choices_column
from backend.datasets.rows.definitions import defines_tools
from backend.datasets.rows.paths import canonical, has_path, value_at
from backend.datasets.rows.shape import EXAMPLE, OPTIONAL_PARTS, SOLUTION, ColumnMapping, Shape
from backend.datasets.rows.turns import asks, ends_with_assistant
from backend.errors import AppError

TRUTH = "reward_model.ground_truth"
CERTAIN = (
    *("reference_answer", "answer", "ground_truth", "expected_answer", "expected_output", "correct_answer"),
    *("final_answer", "gold_answer"),
)
REFERENCES = (*CERTAIN, TRUTH, SOLUTION, *LISTS, *SETS)
"""Paths that may hold a reference, by priority. Next to an answer, `solution` is its worked solution."""
WORKED = (
    *(SOLUTION, "worked_solution", "worked_answer", "solution_steps", "step_by_step", "explanation", "rationale"),
    *("reasoning", "chain_of_thought", "cot", "working", "workings", "derivation", "justification"),
    *("lösungsweg", "loesungsweg", "rechenweg", "begründung", "begruendung", "erklärung", "erklaerung", "herleitung"),
    *("raisonnement", "explication", "démarche", "razonamiento", "explicación", "explicacion"),
    *("ragionamento", "spiegazione", "svolgimento", "raciocínio", "explicação", "redenering", "toelichting"),
)
"""Columns that hold the worked solution next to an answer, by priority."""
REPLIES = ("output", "response", "completion")
"""Columns that hold the reference where no column is one by its name."""
IMAGE_COLUMNS = ("images", "image")
TOOLS = ("tools", "functions", "available_tools")
"""Columns of the functions that the model may call."""
TEMPLATE_OPTIONS = "chat_template_kwargs"
"""Column of what else a chat template gets; it may hold tools."""
SYSTEM = ("system_prompt", "system_message", "system")
"""Columns of the system message."""
HISTORY = ("history",)
PROMPT_COLUMNS = (*IMAGE_COLUMNS, *TOOLS, TEMPLATE_OPTIONS, *SYSTEM)
"""Columns that are part of the prompt next to the question, so never the reference."""
ROW_NAMES = ("id", "idx", "index", "uuid", "source", "split")
"""Columns that tell rows apart, so never the reference."""
PASSED_OVER = ("", "unnamed:_0", "_index_level_0_", "rejected", "rejected_response", "rejected_responses")
"""Columns that do not count next to messages: those that pandas writes for its index, and rejected answers."""
CONVERSATIONS = ("messages", "conversations", "conversation")
"""Columns that hold messages or turns, and never the text of a question."""
SHOWN_CHARACTERS = 60
"""Longer column names are cut in messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A dataset format. It fits a row with the question, all of `required`, and one of `answers` unless optional.

    Paths are columns, or dotted paths into them.
    """

    name: str
    made_for: str
    question: str
    answers: tuple[str, ...]
    """Paths of the reference, by priority."""
    required: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    """Columns whose text is part of the question; of these a file may have one."""
    answer_optional: bool = False
    """Without one of `answers`, only the verifier knows where the reference is."""
    last_turn: bool = False
    """Without one of `answers`, the assistant's turn that ends the conversation is the reference."""
    other_columns: bool = False
    """Without either, a single other column is the reference; of several, only the verifier knows which."""
    has_answer_mark: bool = False
    """The answer may end with a line such as `#### 42`; the text before it is the solution."""
    is_plain: bool = False
    """The columns have everyday names, so another column could be meant as well; see `_require_one_candidate`."""

    def answer_path(self, item: Mapping[str, Any]) -> str | None:
        found = next((path for path in self.answers if has_path(item, path)), None)
        if found is not None:
            return found
        none_of = (self.question, *PROMPT_COLUMNS, *PASSED_OVER)
        others = [column for column in item if column not in none_of]
        others = [column for column in others if not defines_tools(item[column])] or others
        by_others = self.other_columns and bool(others)
        if self.last_turn and not (by_others and not ends_with_assistant(value_at(item, self.question))):
            return self.question
        return others[0] if by_others and len(others) == 1 and others[0] not in ROW_NAMES else None

    def fits(self, item: Mapping[str, Any]) -> bool:
        has_reference = (
            self.answer_path(item) is not None
            or self.answer_optional
            or (self.other_columns and len(item.keys() - {*PROMPT_COLUMNS}) > 1)
        )
        return has_reference and all(has_path(item, path) for path in (self.question, *self.required))


PLAIN_ANSWERS = ("answer", *CERTAIN, *LISTS, *SETS, *REPLIES, SOLUTION)
RULES = (
    Rule(
        name="responses_create_params",
        made_for="NeMo Gym",
        question="responses_create_params.input",
        answers=("expected_answer", *REFERENCES),
        answer_optional=True,
    ),
    Rule(name=TRUTH, made_for="verl", question="prompt", answers=(TRUTH,)),
    Rule(
        name="teacher_prompt",
        made_for="ms-swift",
        question="messages",
        required=("teacher_prompt",),
        answers=(SOLUTION, *REFERENCES),
        answer_optional=True,
    ),
    Rule(name="messages + reference_answer", made_for="AWS RFT", question="messages", answers=("reference_answer",)),
    Rule(
        name="messages + other keys",
        made_for="OpenAI RFT",
        question="messages",
        answers=REFERENCES,
        last_turn=True,
        other_columns=True,
    ),
    *(
        Rule(name=column, made_for="ShareGPT", question=column, answers=REFERENCES, last_turn=True)
        for column in CONVERSATIONS[1:]
    ),
    Rule(
        name="question + answer",
        made_for="verifiers, GSM8K",
        question="question",
        answers=PLAIN_ANSWERS,
        context=CONTEXT,
        has_answer_mark=True,
        is_plain=True,
    ),
    Rule(
        name="problem + answer",
        made_for="RLSD's authors, EasyR1",
        question="problem",
        answers=PLAIN_ANSWERS,
        context=CONTEXT,
        is_plain=True,
    ),
    Rule(
        name="prompt + solution/ground_truth/answer",
        made_for="TRL",
        question="prompt",
        answers=PLAIN_ANSWERS,
        context=CONTEXT,
        is_plain=True,
    ),
    Rule(
        name="instruction + output",
        made_for="Alpaca, Dolly",
        question="instruction",
        answers=("output", *PLAIN_ANSWERS),
        context=("input", *CONTEXT),
        is_plain=True,
    ),
    Rule(
        name="query + response",
        made_for="instruction tuning",
        question="query",
        answers=PLAIN_ANSWERS,
        context=CONTEXT,
        is_plain=True,
    ),
    Rule(
        name="input + expected_answer",
        made_for="evaluations",
        question="input",
        answers=PLAIN_ANSWERS,
        context=CONTEXT,
        is_plain=True,
    ),
)


def stored_shape(name: str, columns: Mapping[str, str | None]) -> Shape:
    """Restore the shape with which a stored file was read from its name and `Shape.columns`."""
    rule = next((rule for rule in RULES if rule.name == name), None)
    return Shape(
        name=name,
        question=columns["question"] or "",
        answer=columns["answer"],
        solution=columns["solution"] or SOLUTION,
        hint=columns["hint"],
        **{name: columns.get(name) for name in OPTIONAL_PARTS},
        has_answer_mark=rule is not None and rule.has_answer_mark,
    )


def recognise(item: Mapping[str, Any], *, mapping: ColumnMapping | None) -> Shape:
    """Determine the shape of a file by its first row. Raises AppError if no rule fits."""
    chosen = None if mapping is None else mapping.shape()
    if chosen is not None:
        named = (chosen.question, chosen.answer, chosen.context)
        missing = [column for column in named if column and not has_path(item, column)]
        if missing:
            raise AppError(
                f"The mapping names the column {_shown(missing[0])}, which the first row does not have (its columns: "
                f"{_columns(item)}).",
                code="invalid_mapping",
                param="mapping",
            )
        others = [column for column in item if column not in named]
        worked = None if chosen.hint else next((each for each in others if canonical(each) in WORKED), None)
        return replace(chosen, choices=choices_column(others), solution=worked or chosen.solution)
    columns = _ColumnNames(item)
    seen = {name: item[written[0]] for name, written in columns.written.items()}
    rule = next((rule for rule in RULES if rule.fits(seen)), None)
    if rule is None:
        raise AppError(
            f"The columns ({_columns(item)}) match no known dataset format: name the columns of question and answer "
            "in `mapping`, or with `header_row` the line of a table that names the columns.",
            code="unknown_shape",
            param="file",
        )
    return _bound(rule, seen, columns=columns)


def is_known_header(names: Sequence[str]) -> bool:
    """Return whether columns of these names need no mapping."""
    seen = dict.fromkeys(map(canonical, names))
    return any(rule.fits(seen) for rule in RULES if not rule.other_columns)


class _ColumnNames:
    """The columns of a row by their canonical names; a column that is written canonically comes first."""

    def __init__(self, item: Mapping[str, Any]) -> None:
        self.written: dict[str, list[str]] = {}
        for column in sorted(item, key=lambda column: column != canonical(column)):
            self.written.setdefault(canonical(column), []).append(column)

    def path(self, name: str) -> str:
        """Return a path as the file writes it. Raises AppError if two columns differ only in how it is written."""
        first, dot, rest = (name, "", "") if name in self.written else name.partition(".")
        found = self.written.get(first, [first])
        if len(found) > 1 and found[0] != first:
            raise _ambiguous(found, part="columns of the same name")
        return f"{found[0]}{dot}{rest}"


def _bound(rule: Rule, seen: Mapping[str, Any], *, columns: _ColumnNames) -> Shape:
    """Bind the rule to the file's columns. Raises AppError if another column could be meant."""

    def first(names: Iterable[str]) -> str | None:
        return next((columns.path(name) for name in names if name in seen), None)

    answer = rule.answer_path(seen)
    systems = _different(SYSTEM, seen)
    if len(systems) > 1:
        raise _ambiguous(systems, part="candidates for the system message")
    if rule.is_plain:
        _require_one_candidate(rule, seen)
    elif rule.question in CONVERSATIONS and answer not in (None, rule.question):
        _require_one_question(rule, seen, answer=answer)
    images = first(IMAGE_COLUMNS)
    choices = choices_column(name for name in seen if name not in (rule.question, answer))
    return Shape(
        name=rule.name,
        question=columns.path(rule.question),
        answer=None if answer is None else columns.path(answer),
        solution=first(name for name in WORKED if name not in (rule.question, answer)) or SOLUTION,
        images=None if images in IMAGE_COLUMNS else images,
        context=first(rule.context),
        choices=columns.path(choices) if rule.is_plain and choices is not None else None,
        system=first(SYSTEM),
        history=first(HISTORY) if rule.is_plain else None,
        has_answer_mark=rule.has_answer_mark,
    )


def _require_one_candidate(rule: Rule, seen: Mapping[str, Any]) -> None:
    """Raise AppError if the first row has different values in two columns for the question, or for the answer."""
    contexts = _different(rule.context, seen)
    plain = (other.question for other in RULES if other.is_plain)
    questions = [name for name in plain if name not in (*contexts, rule.question)]
    certain = _different(CERTAIN, seen)
    answers = certain or _different(REPLIES, seen)
    questions = _different((rule.question, *questions), seen)
    for part, found in (("question", questions), ("text after the question", contexts), ("answer", answers)):
        if len(found) > 1:
            raise _ambiguous(found, part=f"candidates for the {part}")


def _require_one_question(rule: Rule, seen: Mapping[str, Any], *, answer: str | None) -> None:
    """Raise AppError if a column next to a conversation asks something else, or two hold different answers."""
    plain = [other.question for other in RULES if other.is_plain and other.question != answer]
    others = [name for name in plain if name in seen and not asks(seen[rule.question], seen[name])]
    answers = _different(CERTAIN, seen)
    for part, found in (("question", [rule.question, *others]), ("answer", answers)):
        if len(found) > 1:
            raise _ambiguous(found, part=f"candidates for the {part}")


def _different(names: Iterable[str], seen: Mapping[str, Any]) -> list[str]:
    """Return those of the columns that the row has, without those equal to an earlier one."""
    found: list[str] = []
    for name in names:
        if name in seen and all(seen[name] != seen[other] for other in found):
            found.append(name)
    return found


def _ambiguous(names: Iterable[str], *, part: str) -> AppError:
    return AppError(
        f"The columns {' and '.join(map(_shown, names))} are {part}: name the columns of question and answer in "
        f"`mapping`, as in {EXAMPLE}.",
        code="ambiguous_columns",
        param="file",
    )


def _shown(column: str) -> str:
    return f"'{column}'" if len(column) <= SHOWN_CHARACTERS else f"'{column[:SHOWN_CHARACTERS]}…'"


def _columns(item: Mapping[str, Any]) -> str:
    names = [f"'{name:.40}'" for name in list(item)[:20]]
    return ", ".join(names) + (" ..." if len(item) > len(names) else "") or "none"
