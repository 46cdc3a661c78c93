"""Inside: numbers in English words where they are all that a text says, or what it states as its answer."""

import re

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_VALUES = {word: value for value, word in enumerate(_ONES)} | {word: 10 * value for value, word in enumerate(_TENS, 2)}
_NUMBER = (
    rf"(?:(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(_ONES[1:10])}))?|(?P<one>{'|'.join(_ONES)}))(?![-\w])"
    r"(?=(?:\s(?:hundred|thousand|million|billion|dozen))?"
    r"(?:\s(?!(?:of|or|and|to|in|out|point|that|which|who|than|more|less|fewer|hal(?:f|ves)|quarters?|\w+ths?|thirds?"
    r"|hundred|thousand|million)\b)[a-z]{1,12}){0,2}\s{0,2}(?:[.,;:!*}<\n]|\Z))(?![^\n]{0,40}\d)"
)
"""A number below a hundred, not as part of another: `five apples`, but not `five or six`, `two point five`."""
_STATED = re.compile(rf"(?P<lead>\banswer[*_ ]{{0,4}}(?:\s(?:is|=)|:)[*_:\s]{{0,6}}){_NUMBER}", re.I)
_ALONE = re.compile(rf"(?P<lead>\A\W{{0,6}}(?:text\{{)?){_NUMBER}(?=[\w\s]{{0,40}}\W{{0,6}}\Z)", re.I)


def in_digits(text: str) -> str:
    """Write such numbers in digits: `eighteen`, `The answer is twenty-one apples`."""
    return _STATED.sub(_digits, _ALONE.sub(_digits, text))


def _digits(found: re.Match[str]) -> str:
    words = (found["tens"], found["ones"], found["one"])
    return f"{found['lead']}{sum(_VALUES[word.lower()] for word in words if word)}"
