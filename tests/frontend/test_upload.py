from frontend.components import upload

CONTENT = b'{"a": 1}\nnot json\n[1]\n{"b": 2}\n'


def test_the_first_lines_that_are_objects_are_shown() -> None:
    assert upload.first_objects(CONTENT, most=3) == [{"a": 1}, {"b": 2}]


def test_the_line_that_a_refusal_names_is_shown_beside_it() -> None:
    assert upload.named_line(CONTENT, "Not a JSON object in line 2: …") == (2, "not json")
    assert upload.named_line(CONTENT, "line 99 is broken") is None
    assert upload.named_line(CONTENT, "The file is too large.") is None
