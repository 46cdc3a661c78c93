"""Inside: how languages other than English state an answer: the table that the `choice` grader reads them by."""

from typing import NamedTuple

from backend.verifiers.notation import usual_letters


class Language(NamedTuple):
    """The words of a language, separated by `|`.

    `answer` names what is stated, `right` calls it so before or after, `verb` follows both, `ends` what the verb comes
    after the choice in, and `wrong` denies.
    """

    answer: str
    right: str
    verb: str
    ends: str
    wrong: str


LANGUAGES = {
    "ar": Language("الإجابة|الاجابة|الجواب|إجابة", "الصحيحة|الصحيح", "هي|هو", "", "ليس|ليست|خاطئة|خطأ"),
    "bg": Language("отговорът|отговор", "верният|правилният|верен", "е", "", "не|грешен"),
    "bn": Language("উত্তর|উত্তরটি", "সঠিক", "হল|হলো", "হবে", "নয়|ভুল"),
    "ca": Language("resposta|opció", "correcta", "és la|és", "", "no|incorrecta"),
    "cs": Language("odpověď|odpovědí|možnost", "správná|správnou", "je", "", "není|nesprávná|špatná"),
    "da, no": Language("svar|svaret", "rigtige|rigtig|riktig|riktige|korrekte", "er", "", "ikke|forkert|feil"),
    "de": Language("antwort|lösung", "richtige|korrekte", "ist|lautet", "", r"nicht|kein\w{0,2}|falsche?\w?"),
    "el": Language("απάντηση|επιλογή", "σωστή|ορθή", "είναι η|είναι", "", "δεν|λάθος|λανθασμένη"),
    "es": Language("respuesta|opción|alternativa", "correcta", "es la|es", "", "no|incorrecta|errónea"),
    "fa": Language("پاسخ|جواب|گزینه", "صحیح|درست", "عبارت است از", "است", "نیست|غلط|نادرست"),
    "fi": Language("vastaus|vaihtoehto", "oikea", "on", "", "ei|väärä"),
    "fr": Language("réponse", "bonne|correcte|exacte|juste", "est la|est", "", "pas|mauvaise|fausse|incorrecte"),
    "he": Language("התשובה|תשובה", "הנכונה|נכונה", "היא", "", "לא|אינה|שגויה"),
    "hi": Language("उत्तर|जवाब|विकल्प", "सही", "है", "है", "नहीं|गलत"),
    "hr, sr": Language("odgovor|одговор", "točan|tačan|ispravan|тачан", "je|је", "", "nije|није|netočan|netačan"),
    "hu": Language("válasz", "helyes", "a|az", "", "nem|helytelen|rossz"),
    "id, ms": Language(
        "jawaban|jawabannya|jawapan|jawapannya",
        "yang benar|benar|yang tepat|yang betul|betul",
        "adalah|ialah",
        "",
        "bukan|tidak|salah",
    ),
    "it": Language("risposta|opzione", "corretta|giusta|esatta", "è la|è", "", "non|sbagliata|errata"),
    "nl": Language("antwoord", "juiste|goede|correcte", "is", "", "niet|geen|foute?|verkeerde?|onjuiste?"),
    "pl": Language(
        "odpowiedź|odpowiedzią",
        "prawidłowa|prawidłową|poprawna|poprawną|właściwa",
        "to|jest",
        "",
        r"nie|błędn\w{1,3}|nie(?:prawidł|popraw)\w{1,4}",
    ),
    "pt": Language("resposta|opção|alternativa|gabarito", "correta|certa", "é a|é", "", "não|errada|incorreta"),
    "ro": Language("răspunsul|răspuns", "corect", "este|e", "", "nu|greșit"),
    "ru": Language(
        "ответ|вариант", "правильный|верный|окончательный", "это", "", r"не|неправильн\w{1,3}|неверн\w{1,3}"
    ),
    "sk": Language("odpoveď|odpoveďou", "správna|správnou", "je", "", "nie|nesprávna"),
    "sv": Language("svar|svaret", "rätt|rätta|korrekta", "är", "", "inte|fel"),
    "sw": Language("jibu", "sahihi", "ni", "", "si|sio"),
    "ta": Language("பதில்|விடை", "சரியான", "", "ஆகும்", "அல்ல|தவறான"),
    "th": Language("คำตอบ|ข้อ", "ที่ถูกต้อง|ที่ถูก", "คือ", "", "ไม่|ผิด"),
    "tl": Language("sagot", "tamang", "ay", "", "hindi|mali"),
    "tr": Language(
        "cevap|yanıt|seçenek", "doğru", "", r"şıkkıdır|seçeneğidir|şıkkı|olur|['’]?d[ıiuü]r", "değil|yanlış"
    ),
    "uk": Language("відповідь", "правильна|вірна", "це", "", "не|неправильна|хибна"),
    "ur": Language("جواب", "درست|صحیح", "یہ ہے", "ہے", "نہیں|غلط"),
    "vi": Language("đáp án|câu trả lời|phương án", "đúng|chính xác", "là", "", "không|sai"),
}
_GAP = r"(?:\s{1,4}|(?<=[\u0e00-\u0e7f])(?=[\u0e00-\u0e7f]))"
"""Thai writes no spaces between words."""


def _one_of(words: str) -> str:
    return "(?:" + usual_letters(words).replace(" ", r"\s{1,4}") + ")"


def _stated(language: Language) -> str:
    answer, right = _one_of(language.answer), _one_of(language.right)
    named = rf"(?:{right}{_GAP})?{answer}(?:{_GAP}{right})?"
    verb = rf"{_GAP}{_one_of(language.verb)}(?!\w)\s{{0,4}}[:：]?|" if language.verb else ""
    directly = rf"(?:{right}{_GAP}{answer}|{answer}{_GAP}{right})(?=\s)"
    return rf"{named}(?:{verb}\s{{0,4}}[:：=→]|\s{{1,4}}[-–—]\s)|{directly}"


_WORD_BEGINS = r"(?<![^\W_])"
STATES_IN_LANGUAGES = _WORD_BEGINS + "(?:" + "|".join(map(_stated, LANGUAGES.values())) + ")"
RIGHT_IN_LANGUAGES = _one_of("|".join(language.right for language in LANGUAGES.values()) + "|richtig|juist|goed|dobra")
ENDS_IN_LANGUAGES = "|".join(language.ends for language in LANGUAGES.values() if language.ends)
WRONG_IN_LANGUAGES = _WORD_BEGINS + "(?:" + "|".join(language.wrong for language in LANGUAGES.values()) + r")(?!\w)"
