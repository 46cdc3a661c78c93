import pytest

from backend.errors import AppError
from backend.verifiers.signatures import entry_point


@pytest.mark.parametrize(
    ("source", "function", "signature"),
    [
        ("def grade(sample, item): return 1", "grade", "openai"),
        ("def grade(item, sample): return 1", "grade", "openai"),
        ("def grade(sample: dict, item: dict, strict=True) -> float: return 1", "grade", "openai"),
        ("def grade(*, sample, item, **more): return 1", "grade", "openai"),
        ("def check(item, output_text): return 1", "check", "short"),
        ("def helper(x): return x\ndef grade(item, output_text): return 1", "grade", "short"),
        ("def grade(x): return x\ndef grade(sample, item): return 1", "grade", "openai"),
    ],
)
def test_the_function_and_its_signature_are_recognised(source, function, signature):
    found = entry_point(source)
    assert (found.function, found.signature.name) == (function, signature)


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("x = lambda sample, item: 1", "no function"),
        ("class A:\n    def grade(self): pass", "no function"),
        ("def a(item, output_text): pass\ndef b(item, output_text): pass", "a (line 1), b (line 2)"),
        ("\n\ndef grade(prompt, answer): pass", "Line 3: 'grade(prompt, answer)'"),
        ("def grade(sample, item, threshold): pass", "no known signature"),
        ("def grade(sample, item, /): pass", "no known signature"),
        ("def grade(**columns): pass", "no known signature"),
        ("async def grade(sample, item): pass", "async"),
    ],
)
def test_what_is_not_recognised_is_refused_with_the_place(source, part):
    with pytest.raises(AppError) as caught:
        entry_point(source)
    assert part in caught.value.message
