"""A query that returns the same rows as the reference query, on a small database given by the row."""

from backend.verifiers.ready_made.kind import Example, ReadyMade

SOURCE = '''import re
import sqlite3

STEPS = 2_000_000  # of SQLite's virtual machine; a query that needs more counts as endless


def rows_of(database, query):
    steps = iter(range(STEPS // 1000))
    database.set_progress_handler(lambda: next(steps, None) is None, 1000)
    return database.execute(query).fetchmany(10_000)


def grade(item, output_text):
    """item: `schema` (statements that create the tables) and `answer` (the reference query)."""
    blocks = re.findall(r"```(?:sql)?\\s*(.*?)```", output_text, re.DOTALL | re.IGNORECASE)
    query = (blocks[-1] if blocks else output_text).strip().rstrip(";")
    database = sqlite3.connect(":memory:")
    database.executescript(item["schema"])
    expected = rows_of(database, item["answer"])
    try:
        database.execute("PRAGMA query_only = ON")  # the completion may only read
        given = rows_of(database, query)
    except sqlite3.Error as error:
        return {"score": 0.0, "reason": f"the query failed: {error}"}
    if "order by" not in item["answer"].lower():  # rows in any order
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
    use="Text to SQL: the query runs in SQLite in the sandbox, and its rows are compared. Requires a column “schema”.",
    grader={"type": "python", "source": SOURCE, "isolation": "call"},
    examples=(
        Example(ROW, "```sql\nSELECT item FROM sold WHERE price >= 7 ORDER BY item;\n```", 1.0),
        Example(ROW, "SELECT item FROM sold", 0.0),
        Example(ROW, "SELECT nothing", 0.0),
        Example(ROW, "DELETE FROM sold", 0.0),
        Example(ROW, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n", 0.0),
    ),
)
