"""A query that returns the same rows as the reference query, on a small database given by the row."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = r'''import re

import model_code

QUERY_S = 2.0  # seconds for each of the two queries
QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`|\[[^]]*\]|--[^\n]*|/[*].*?[*]/""", re.DOTALL)
SELECTS = re.compile(r"[\s(]*(?:select|with|values)\b", re.IGNORECASE)
RUN = """
import sqlite3

STEPS = 2_000_000  # of SQLite's virtual machine; a query that needs more counts as endless
LONGEST = 1_000_000  # bytes of a text or blob

def rows(schema, query):
    database = sqlite3.connect(":memory:")
    database.executescript(schema)
    database.execute("PRAGMA query_only = ON")  # the query may only read
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST)
    steps = iter(range(STEPS // 1000))
    database.set_progress_handler(lambda: next(steps, None) is None, 1000)
    found = database.execute(query)
    if found.description is None:
        raise ValueError("the statement returns no rows")
    return found.fetchmany(10_000)
"""


def rows_of(schema, query):
    """Run a query in a process of its own, so that one that takes too much ends that process alone."""
    with model_code.Program(RUN, seconds=QUERY_S) as program:
        return [tuple(map(rounded, row)) for row in program.call("rows", schema, query)]


def rounded(value):
    """Leave out the last digits, which depend on the order in which numbers are added up."""
    return float(f"{value:.12g}") if type(value) is float else value


def is_ordered(query):
    """Return whether the query itself, and not only a part of it in parentheses, has an ORDER BY."""
    rest, inner = QUOTED.sub(" ", query), 1
    while inner:
        rest, inner = re.subn(r"[(][^()]*[)]", " ", rest)
    return re.search(r"\border\s+by\b", rest, re.IGNORECASE) is not None


def query_of(output_text):
    """Return the last block that selects something: one named SQL, else any."""
    blocks = model_code.blocks(output_text)
    named = [block for language, block in blocks if "sql" in language] or [block for _, block in blocks]
    selecting = [block for block in named if SELECTS.match(QUOTED.sub(" ", block))]
    return (selecting or named)[-1].strip().rstrip(";")


def grade(item, output_text):
    """item: `schema` (statements that create the tables) and `answer` (the reference query)."""
    expected = rows_of(item["schema"], item["answer"])
    model_code.score_if_stopped(0.0)
    query = query_of(output_text)
    try:
        given = rows_of(item["schema"], query)
    except model_code.CodeError as error:
        return {"score": 0.0, "reason": f"the query failed: {error}"}
    if not is_ordered(item["answer"]):  # rows in any order
        expected, given = sorted(expected, key=repr), sorted(given, key=repr)
    if given == expected:
        return 1.0
    return {"score": 0.0, "reason": f"{len(given)} rows differ from the {len(expected)} of the reference"}
'''

SHOP = "CREATE TABLE sold (item TEXT, price REAL); INSERT INTO sold VALUES ('pen', 2), ('ink', 7), ('cap', 7);"
ROW = {"schema": SHOP, "answer": "SELECT item FROM sold WHERE price > 5"}

VERIFIER = ReadyMade(
    id="sql-result",
    name="SQL with the same result",
    use=(
        "Text to SQL: the query runs in SQLite, in a process of its own, and its rows are compared. Requires a column "
        "“schema”. A query that fails or takes too much scores 0; one that is right for these rows alone passes."
    ),
    grader={"type": "python", "source": SOURCE, "isolation": "call"},
    examples=(
        Example(ROW, "```sql\nSELECT item FROM sold WHERE price >= 7 ORDER BY item;\n```", 1.0),
        Example(ROW, "```SQL\nSELECT item FROM sold WHERE price > 5\n```\nIt returns:\n```\nink\ncap\n```", 1.0),
        Example(
            ROW, "```sqlite\nSELECT item FROM sold\n```\nNo:\n```sql\nSELECT item FROM sold WHERE price = 7\n```", 1.0
        ),
        Example(ROW, "```\nSELECT item FROM sold WHERE price = 7\n```", 1.0),
        Example(ROW, "1. Query:\n   ~~~sql\n   SELECT item FROM sold\n   WHERE price = 7\n   ~~~\n2. Done.", 1.0),
        Example(ROW, "[SQL]\nSELECT item FROM sold WHERE price = 7\n[/SQL]", 1.0),
        Example(ROW, "```sql SELECT item FROM sold WHERE price = 7```", 1.0),
        Example(ROW | {"answer": "SELECT 0.1 + 0.2 + 0.3"}, "SELECT 0.3 + 0.2 + 0.1", 1.0),
        Example(ROW | {"answer": "SELECT 0.1 + 0.2 + 0.3"}, "SELECT 0.6000001", 0.0),
        Example(
            ROW
            | {"answer": "SELECT item FROM sold WHERE price IN (SELECT price FROM sold ORDER BY price DESC LIMIT 2)"},
            "SELECT item FROM sold WHERE price = 7 ORDER BY item",
            1.0,
        ),
        Example(
            ROW | {"answer": "SELECT item FROM sold\nORDER\n  BY item"}, "SELECT item FROM sold ORDER BY item DESC", 0.0
        ),
        Example(ROW, "```\nSELECT item FROM sold WHERE price = 7\n```\nIt returns:\n```\nink\ncap\n```", 1.0),
        Example(ROW, "<think>\n```sql\nSELECT item FROM sold WHERE price = 7\n```\n</think>\nI give up.", 0.0),
        Example(ROW, "SELECT item FROM sold", 0.0),
        Example(ROW, "SELECT nothing", 0.0),
        Example(ROW, "DELETE FROM sold", 0.0),
        Example(ROW, "SELECT zeroblob(1000000000)", 0.0),
        Example(ROW, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", 0.0),
    ),
)
