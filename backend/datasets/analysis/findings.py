"""Statistics over a file's good rows: lengths, near-duplicate questions, the distribution of answers, suspicious texts.

Collected in one pass and in bounded memory: counts, a sample, and a sketch for each of the first `SKETCHED_ROWS`.
Lengths are in characters: token lengths need a model's tokenizer, which does not belong in the service
(`worker.checks.token_lengths`).
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
"""Least Jaccard similarity of the word trigrams of two questions that count as near-duplicates."""
SHINGLE_WORDS = 3
MAX_WORDS = 2000
LISTED_PAIRS = 100
EXCERPT_CHARACTERS = 160
"""Enough of a question for a person to recognise it."""
SHORT_ANSWER = 40
MAX_ANSWERS = 10_000
LISTED_ANSWERS = 20
NUMERIC_SHARE = 0.95
"""Where at least this share of the answers are numbers, the others are reported as odd."""
LISTED_ODD = 100
NUMBER = re.compile(r"[-+−]?[$€£]?\s?\d[\d,._  ]*(?:[./]\d+)?(?:[eE][-+]?\d+)?\s?[%$€£]?")
REPLACED = "�"
MISREAD = re.compile(r"[ÃÂ][\x80-\xbf]|â€[™œ\x9d“”¦]|ï»¿")
"""UTF-8 that was decoded as Windows-1252 and stored again."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


@dataclass(slots=True)
class Findings:
    """Statistics updated with each good row; `finish` writes them into the report."""

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

    def add(self, row: NormalRow) -> None:
        text = question_text(row)
        self.questions.add(len(text))
        self.languages.add(text)
        self._check_text(row, text)
        if row.reference.solution is not None:
            self.solutions.add(len(row.reference.solution))
        if row.reference.answer is not None:
            self._add_answer(row.reference.answer.strip(), row=row)
        if not row.images:  # the same text about another image is another question
            self.sketches.add(text, row=row)

    def finish(self) -> None:
        if self.numbers >= NUMERIC_SHARE * self.answered:
            for odd in self.odd:
                self.report.warn(odd)
        self.report.details |= {
            "lengths": {
                "unit": "characters",
                "question": self.questions.to_json(),
                "answer": self.answers.to_json(),
                "solution": self.solutions.to_json(),
            },
            "languages": self.languages.to_json(),
            "answers": self._answer_counts(),
            "near_duplicates": self.sketches.to_json(),
        }

    def _check_text(self, row: NormalRow, text: str) -> None:
        text = f"{text}\n{row.reference.answer or ''}"
        if text.isascii() and text.isprintable():
            return
        for code, found, message in (
            ("replacement_character", REPLACED in text, "contains the replacement character (U+FFFD)"),
            ("misread_encoding", MISREAD.search(text), "looks like UTF-8 that was decoded in another encoding"),
            ("control_character", CONTROL.search(text), "contains control characters"),
        ):
            if found:
                self.report.warn(Problem(line=row.line, code=code, message=message, number=row.number))

    def _add_answer(self, answer: str, *, row: NormalRow) -> None:
        self.answered += 1
        self.answers.add(len(answer))
        if NUMBER.fullmatch(answer):
            self.numbers += 1
        elif len(self.odd) < LISTED_ODD:
            message = f"has the answer {answer!r:.60}, but nearly all other answers are numbers"
            self.odd.append(Problem(line=row.line, code="odd_reference", message=message, number=row.number))
        if len(answer) <= SHORT_ANSWER:
            self.short += 1
            if answer in self.classes or len(self.classes) < MAX_ANSWERS:
                self.classes[answer] += 1

    def _answer_counts(self) -> dict[str, Any]:
        """Count each short answer, the most frequent first. `distinct` stops at `MAX_ANSWERS`."""
        return {
            "short": self.short,
            "distinct": len(self.classes),
            "most": [{"answer": answer, "rows": rows} for answer, rows in self.classes.most_common(LISTED_ANSWERS)],
        }


class Sketches:
    """MinHash sketches of questions and the near-duplicates among them. Equal rows are counted in `analysis.overlap`.

    `kept`: (sketch, row hash, line) by row number; one line may hold many rows.
    """

    def __init__(self) -> None:
        from datasketch import MinHash, MinHashLSH  # imports scipy, which only processes that read a file need

        self.model = MinHash(num_perm=PERMUTATIONS)
        self.index = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS)
        self.kept: dict[int, tuple[Any, str, int]] = {}
        self.checked = 0
        self.near = 0
        self.pairs: list[dict[str, Any]] = []

    def add(self, text: str, *, row: NormalRow) -> None:
        if self.checked >= SKETCHED_ROWS:
            return
        self.checked += 1
        sketch = self._sketch(text)
        best_similarity, nearest = 0.0, None
        for other in sorted(self.index.query(sketch))[:LISTED_PAIRS]:
            other_sketch, other_hash, _line = self.kept[other]
            if other_hash == row.row_hash:
                return
            similarity = sketch.jaccard(other_sketch)
            if similarity > best_similarity:
                best_similarity, nearest = similarity, other
        if nearest is not None and best_similarity >= NEAR:
            self.near += 1
            if len(self.pairs) < LISTED_PAIRS:
                self.pairs.append(
                    {
                        "line": row.line,
                        "like": self.kept[nearest][2],
                        "similarity": round(best_similarity, 2),
                        "number": row.number,
                        "like_number": nearest,
                        "question": excerpt(text),
                    }
                )
            return  # only the first of a group is indexed, which keeps a large group from quadratic comparisons
        self.index.insert(row.number, sketch, check_duplication=False)
        self.kept[row.number] = (sketch, row.row_hash, row.line)

    def to_json(self) -> dict[str, Any]:
        """Of the `checked` rows, `rows` nearly equal an earlier one; `pairs` lists the first, by line and number."""
        return {"checked": self.checked, "rows": self.near, "threshold": NEAR, "pairs": self.pairs}

    def _sketch(self, text: str) -> "MinHash":
        words = text.lower().split()[:MAX_WORDS]
        starts = range(max(1, len(words) - SHINGLE_WORDS + 1))
        shingles = {" ".join(words[start : start + SHINGLE_WORDS]) for start in starts}
        sketch = self.model.copy()  # empty, with the same permutations
        sketch.update_batch([shingle.encode() for shingle in shingles])
        return sketch


def excerpt(text: str) -> str:
    """Return the text, cut after `EXCERPT_CHARACTERS`."""
    return text if len(text) <= EXCERPT_CHARACTERS else f"{text[:EXCERPT_CHARACTERS]}…"


def question_text(row: NormalRow) -> str:
    """Return the text of a row's messages."""
    return message_text(row.messages)


def message_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """Join the text parts of all messages."""
    texts: list[str] = []
    for message in messages:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        texts += [part["text"] for part in parts if isinstance(part.get("text"), str)]
    return "\n".join(texts)
