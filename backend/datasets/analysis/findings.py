"""What a file's good rows are like together: lengths, repeated and nearly repeated questions, answers, odd texts.

Gathered while rows pass, in memory that a long file does not exceed: counts, a sample, and a sketch for each of the
first `SKETCHED_ROWS`. Lengths are in characters; what they are in tokens only a model's tokenizer can say, which does
not belong into the service (`worker.checks.token_lengths`).
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backend.datasets.analysis.languages import Languages
from backend.datasets.analysis.lengths import Lengths
from backend.datasets.formats.problems import Problem, Report
from backend.datasets.rows.rows import NormalRow

if TYPE_CHECKING:
    from datasketch import MinHash

SKETCHED_ROWS = 10_000
PERMUTATIONS = 64
NEAR = 0.8
"""The share of three-word pieces in common from which two questions count as nearly the same."""
PIECE_WORDS = 3
MAX_WORDS = 2000
LISTED_PAIRS = 100
BEGINNING_CHARACTERS = 160
"""Of a question, by which a person knows it again."""
SHORT_ANSWER = 40
MAX_ANSWERS = 10_000
LISTED_ANSWERS = 20
MOSTLY = 0.95
"""Where at least this share of answers are numbers, the others are odd."""
LISTED_ODD = 100
NUMBER = re.compile(r"[-+−]?[$€£]?\s?\d[\d,._  ]*(?:[./]\d+)?(?:[eE][-+]?\d+)?\s?[%$€£]?")
REPLACED = "�"
MISREAD = re.compile(r"[ÃÂ][\x80-\xbf]|â€[™œ\x9d“”¦]|ï»¿")
"""UTF-8 that was read as Windows-1252 before it was written."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Findings:
    """Fed with each good row; `finish` writes what was found into the report."""

    report: Report
    questions: Lengths = field(default_factory=Lengths)
    answers: Lengths = field(default_factory=Lengths)
    solutions: Lengths = field(default_factory=Lengths)
    languages: Languages = field(default_factory=Languages)
    answered: int = 0
    classes: Counter[str] = field(default_factory=Counter)
    short: int = 0
    numbers: int = 0
    odd: list[Problem] = field(default_factory=list)
    sketches: "Sketches" = field(default_factory=lambda: Sketches())

    def see(self, row: NormalRow) -> None:
        text = text_of(row)
        self.questions.add(len(text))
        self.languages.see(text)
        self._see_oddities(row, text)
        if row.reference.solution is not None:
            self.solutions.add(len(row.reference.solution))
        if row.reference.answer is not None:
            self._see_answer(row.reference.answer.strip(), row=row)
        if not row.images:  # the same words about another image ask something else
            self.sketches.see(text, row=row)

    def finish(self) -> None:
        if self.numbers >= MOSTLY * self.answered:
            for odd in self.odd:
                self.report.warn(odd)
        self.report.about |= {
            "lengths": {
                "unit": "characters",
                "question": self.questions.to_json(),
                "answer": self.answers.to_json(),
                "solution": self.solutions.to_json(),
            },
            "languages": self.languages.to_json(),
            "answers": self._balance(),
            "near_duplicates": self.sketches.to_json(),
        }

    def _see_oddities(self, row: NormalRow, text: str) -> None:
        text = f"{text}\n{row.reference.answer or ''}"
        if text.isascii() and text.isprintable():
            return
        for code, found, what in (
            ("replacement_character", REPLACED in text, "holds the sign for a lost character (U+FFFD)"),
            ("misread_encoding", MISREAD.search(text), "looks like UTF-8 once read in another encoding"),
            ("control_character", CONTROL.search(text), "holds control characters"),
        ):
            if found:
                self.report.warn(Problem(line=row.line, code=code, message=what, number=row.number))

    def _see_answer(self, answer: str, *, row: NormalRow) -> None:
        self.answered += 1
        self.answers.add(len(answer))
        if NUMBER.fullmatch(answer):
            self.numbers += 1
        elif len(self.odd) < LISTED_ODD:
            message = f"has the answer {answer!r:.60}, where nearly all others are numbers"
            self.odd.append(Problem(line=row.line, code="odd_reference", message=message, number=row.number))
        if len(answer) <= SHORT_ANSWER:
            self.short += 1
            if answer in self.classes or len(self.classes) < MAX_ANSWERS:
                self.classes[answer] += 1

    def _balance(self) -> dict[str, Any]:
        """How often each short answer occurs, the most frequent first. `distinct` stops at `MAX_ANSWERS`."""
        return {
            "short": self.short,
            "distinct": len(self.classes),
            "most": [{"answer": answer, "rows": rows} for answer, rows in self.classes.most_common(LISTED_ANSWERS)],
        }


class Sketches:
    """MinHash sketches of questions, and which of them are nearly the same. Equal rows are counted elsewhere.

    `kept`: by row number (a line may hold many rows) its sketch, hash and line.
    """

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH  # brings scipy along; only who reads a file needs them

        self.model = MinHash(num_perm=PERMUTATIONS)
        self.index = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS)
        self.kept: dict[int, tuple[Any, str, int]] = {}
        self.checked = 0
        self.near = 0
        self.pairs: list[dict[str, Any]] = []

    def see(self, text: str, *, row: NormalRow) -> None:
        if self.checked >= SKETCHED_ROWS:
            return
        self.checked += 1
        sketch = self._sketch(text)
        best, twin = 0.0, None
        for other in sorted(self.index.query(sketch))[:LISTED_PAIRS]:
            theirs, their_hash, _line = self.kept[other]
            if their_hash == row.row_hash:
                return
            likeness = sketch.jaccard(theirs)
            if likeness > best:
                best, twin = likeness, other
        if twin is not None and best >= NEAR:
            self.near += 1
            if len(self.pairs) < LISTED_PAIRS:
                like = self.kept[twin][2]
                self.pairs.append(
                    {
                        "line": row.line,
                        "like": like,
                        "similarity": round(best, 2),
                        "number": row.number,
                        "like_number": twin,
                        "question": beginning(text),
                    }
                )
            return  # its first like stands for all, so that a thousand alike are not compared each with each
        self.index.insert(row.number, sketch, check_duplication=False)
        self.kept[row.number] = (sketch, row.row_hash, row.line)

    def to_json(self) -> dict[str, Any]:
        """`rows` of the `checked` ones are nearly like an earlier row; `pairs` lists the first, by line and number."""
        return {"checked": self.checked, "rows": self.near, "threshold": NEAR, "pairs": self.pairs}

    def _sketch(self, text: str) -> "MinHash":
        words = text.lower().split()[:MAX_WORDS]
        pieces = {" ".join(words[at : at + PIECE_WORDS]) for at in range(max(1, len(words) - PIECE_WORDS + 1))}
        sketch = self.model.copy()  # of no words yet: the same permutations
        sketch.update_batch([piece.encode() for piece in pieces])
        return sketch


def beginning(text: str) -> str:
    """What is seen of a long text."""
    return text if len(text) <= BEGINNING_CHARACTERS else f"{text[:BEGINNING_CHARACTERS]}…"


def text_of(row: NormalRow) -> str:
    """The words of a row's messages."""
    return words_of(row.messages)


def words_of(messages: Sequence[Mapping[str, Any]]) -> str:
    found: list[str] = []
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        found += [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return "\n".join(found)
