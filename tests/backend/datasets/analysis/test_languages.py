import pytest

from backend.datasets.analysis.languages import SAMPLED, Languages, language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Who approves a gasket?", "en"),
        ("Wer genehmigt eine Ventilbestellung über 5000 Euro?", "de"),
        ("Quelle est la hauteur de cette tour, et pourquoi ?", "fr"),
        ("北京的人口是多少？", "zh"),
        ("12 + 7 = ?", "und"),
        ("x = \\frac{1}{2}", "und"),
        ("", "und"),
    ],
)
def test_a_language_is_identified_or_undetermined(text: str, language: str) -> None:
    assert language_of(text) == language


def test_many_texts_are_sampled_uniformly() -> None:
    languages = Languages()
    for number in range(20 * SAMPLED):
        languages.add(f"text {number}")
    assert len(languages.sample) == SAMPLED
    late = sum(int(text.split()[1]) >= 10 * SAMPLED for text in languages.sample)
    assert 0.4 < late / SAMPLED < 0.6
