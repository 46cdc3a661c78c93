"""Inside: the words by which a text states a choice, as patterns. Case is ignored; all that repeats is bounded."""

import re

from worker.sandbox.choice_languages import ENDS_IN_LANGUAGES, RIGHT_IN_LANGUAGES, STATES_IN_LANGUAGES

_ANSWER = (
    r"(?:(?<![^\W_])(?:answer|ans|choice|option|selection|response|letter|solution|verdict|correct|label|category|class"
    r"|classification|sentiment|stance|prediction|pick|vote|final|conclusion|result|output)|答案|故?选择?|正解|答え|정답|답)"
)
_IS = r"(?:is|was|are|would\s{1,8}be|must\s{1,8}be|should\s{1,8}be|=)"
ADVERB = (
    r"(?:(?:therefore|thus|hence|then|clearly|definitely|probably|indeed|most\s{1,8}likely|la|le)[,:]?\s{1,8}){0,2}"
)
_LABELLED = (
    rf"{_ANSWER}\b[)'’\]]{{0,2}}"
    rf"(?:\s{{1,8}}(?:to|for)\s{{1,8}}(?:this|the|that)\s{{1,8}}(?:question|problem))?"
    rf"(?:\s{{1,8}}{_IS}(?!\w)\s{{0,8}}[:=]?|\s{{0,8}}(?:[-=]>|[:=→⇒])|\s{{1,8}}[-–—]\s|(?<=['’])s(?=\s))|\bans\.|#{{4}}"
    r"|(?:答案|故?选择?|正解|答え|정답|답)(?:应该)?(?:是|为|选|は|은)?:?"
)
_CHOSEN = (
    r"\b(?:(?:I|we)(?:['’](?:d|ll|m|ve|re))?|let['’]s|let\s{1,4}us)\s{1,8}(?:(?:would|will|am|have)\s{1,8})?"
    r"(?:choose|chose|chosen|pick|picked|select|selected|say|take|vote(?:\s{1,4}for)?"
    r"|(?:think|believe|guess)(?:\s{1,4}that)?(?:\s{1,4}it(?:['’]s|\s{1,4}is))?"
    r"|(?:go|went|going)\s{1,8}(?:with|for)|(?:are\s{1,8})?left\s{1,8}with)\b\s{0,8}:?|\bchọn\b"
)
_OPTION_FOLLOWS = r"(?=(?:the\s{1,4})?(?:correct\s{1,4})?(?:option|choice|answer)\b|\W{0,4}\w{1,20}\W{0,4}\Z)"
_POINTED_AT = (
    r"\b(?:it|that|this)(?:['’]s|\s{1,8}(?:is|(?:must|should|can\s{1,8}only|has\s{1,8}to)\s{1,8}be))\b(?:\s{1,8}only\b)?"
    r"|(?:\bleaves|\b(?:out|eliminat\w{1,4}|exclud\w{1,4}|discard\w{0,3}|wrong|incorrect|impossible|false)\b[^.?\n]{0,40}"
    r"\bleaving(?=(?-i:(?:\s{1,4}[a-z]{1,6}){0,4}\s{1,4}\(?[A-Z\d]\w{0,20}\)?\s{0,4}(?:[.\n(]|\Z|as\s{1,4}the\b))))"
    r"(?:\s{1,4}us\s{1,4}with)?(?:\s{1,4}(?:only|just))?\b"
    r"|\b(?:it|that|this|which)\s{1,4}(?:matches|corresponds\s{1,4}to|agrees\s{1,4}with)\b|\bcorresponding\s{1,4}to\b"
    r"|\b(?:right|correct|best|appropriate|proper)\s{1,4}\w{1,20}(?:\s{1,4}to\s{1,4}\w{1,12})?\s{1,4}is\b"
    rf"|(?:\bi\.\s?e\.|\bthat\s{{1,4}}is|\bnamely|\bwhich\s{{1,4}}is)[,:]?\s{{1,4}}{_OPTION_FOLLOWS}"
)
_CORRECTED = (
    r"\b(?:actually|correction|edit\s?(?=:)|scratch\s{1,4}that|(?:sorry,?\s{1,4})?I\s{1,4}meant?|sorry|oops"
    r"|on\s{1,4}second\s{1,4}thoughts?|no,?\s{1,4}wait|wait,?\s{1,4}no)\b[,:;.!\s–—-]{0,4}"
    r"|(?:[?…]|\.{3})\s{1,4}no\b[,:;.!\s–—-]{0,4}"
)
_CONCLUDED = (
    r"(?:^|[.!,\n]\s{0,8})(?:so|thus|hence|therefore|ergo|by\s{1,4}elimination|definitely|surely|probably|clearly"
    r"|(?:must|has\s{1,4}to)\s{1,4}be|looks\s{1,4}like|going\s{1,4}with)\b,?"
)
STATES = rf"(?:{_LABELLED}|{STATES_IN_LANGUAGES}|{_CHOSEN}|{_POINTED_AT}|{_CORRECTED}|{_CONCLUDED})\s{{0,8}}"
"""What a choice follows that is meant as the answer."""
_RATED = r"(?:rating|score|grade|stars?|rank|level|points?|evaluation|assessment|judge?ment|overall|severity|priority)"
NAMES = (
    rf"(?:(?<![^\W_]){_RATED}(?:\s?\([^()\n]{{1,20}}\))?(?:\s{{1,8}}(?:is|of)\b\s{{0,4}}:?|\s{{0,4}}[:=])|\[result\]"
    r"|\b(?:I|we)(?:['’](?:d|ll))?\s{1,4}(?:(?:would|will)\s{1,4})?(?:rate|give|grade|assign)"
    r"(?:\s{1,4}(?:it|this|that|the\s{1,4}\w{1,20}))?(?:\s{1,4}(?:as|an?))?\b|\bdeserves(?:\s{1,4}an?)?\b"
    r"|(?:^|[.!,\n]\s{0,8}|\b(?:will|would|should|['’]ll)\s{1,4})(?:use|call|invoke|go\s{1,4}to|route\s{1,4}to)\b"
    r"|\bbelongs\s{1,4}to\b)\s{0,8}"
)
"""What a choice follows that is a number or a word: letters name points and levels, too."""
HEADING = r"(?!(?:step|question|scale|max\w{0,5}|min\w{0,5}|example|options?|choices?)\b)[^\W\d_][\w ()/-]{0,40}?"
"""The name of a field before a choice: `Department: billing`."""
NOUN = (
    r"(?:(?:the\s{1,8})?(?:(?:final|correct|right|best)\s{1,8})?"
    r"(?:option|opción|opção|optie|choice|answer|letter|antwort|réponse|respuesta|ответ)\s{1,8}"
    r"(?::\s{0,8})?)?"
)
OPEN, SHUT = r"[('‘\[{#<]{0,6}\s{0,4}", r"\s{0,4}[)'’\]}>]{0,6}"
DENIED = (
    r"(?!\s{0,2}[(\-–—:]\s{0,2}(?:wrong|incorrect|false|not?\b)"
    r"|[)\]}]?,\s{1,4}(?:but\s{1,4})?(?:only\s{1,4})?(?:if|unless|provided)\b(?!\s{1,4}(?:I|my)\b)"
    r"|[)\]}]?,\s{1,4}(?:but|which|and|though|yet)\s{1,4}(?:(?:that|this|it)['’\s]{1,4})?(?:(?:is|was|s)\s{1,4})?(?:a\s{1,4})?"
    r"(?:wrong|incorrect|false|mistak|trap|misconception|not\s{1,4}(?:so|true|right|correct)\b))"
)
"""After a choice: it is called wrong, or right under a condition only."""
_BELIEVE = (
    r"(?:think|thought|believe|sa(?:y|id)|claim|argue|assert|guess|choose|chose|pick|select|answer|conclude|expect|feel"
    r"|respond|reply|repl(?:ies|ied))(?:s|e?d)?\b"
)
MISTAKEN = (
    r"mistak\w{1,4}|misconception|misunderst\w{1,8}|misread\w{0,3}|fallac\w{1,4}|pitfall|illusion|\bmyth|\btrap\b"
    r"|\bna[iï]ve|superficial|\bat\s{1,4}first\b|\bfirst\s{1,4}(?:thought|guess|instinct|impression|sight|glance|look)"
    r"|\binclined\b|\b(?:often|commonly|sometimes|widely)\s{1,4}(?:said|believed|thought|claimed|answered)"
    rf"|\b(?:easy|common|natural|usual|typical|intuitive)\s{{1,4}}to\s{{1,4}}{_BELIEVE}"
    r"|(?:\b(?:many|(?<!the )most|some|others|students?|pupils?|people|everyone|everybody|someone|somebody|they|s?he"
    r"|beginners?|novices|learners|readers?|users?|humans|kids|children|candidates|teacher|textbook)\b)"
    r"(?:\s{1,4}(?:\w{1,12}ly|often|sometimes|might|may|would|will|could|do|also|tend\s{1,4}to)){0,2}"
    rf"\s{{1,4}}{_BELIEVE}"
)
"""What makes a clause an error, or what others believe: `Many students think the answer is C`."""
CONDITION = re.compile(
    r"(?:\A|[.!?:;\n]|\b(?:but|and|however,?)\s)[\s>•*-]{0,4}(?:only\s{1,4}|even\s{1,4})?"
    r"(?:if|unless|had|were|at\s{1,4}first(?:\s{1,4}(?:glance|sight|look))?|superficially|naively|on\s{1,4}the\s{1,4}surface)\b"
    r"(?!\s{1,4}(?:I|my|(?:we|you)\s{1,4}look)\b)[^.!?:;,\n]{0,120},"
    r"(?!\s{0,4}(?:so|thus|hence|therefore|but|which|we)\b)[^.!?:;,\n]{0,60}\Z",
    re.I,
)
"""A condition right before what it is a condition of: `If we ignore friction, the answer is C`."""
ENDS = (
    r"(?=\s{0,4}$|\s{0,4}\n|\s{0,4}(?:[。、।۔]|[.!;:,)](?:\s|$|[a-z]{2}|[^\x00-\x7f]))|\s{0,4}\((?-i:[A-Z0-9\\])"
    r"|\s{1,4}\((?:because|since|as|due|based|given|for|see|it|the|this|i\.e|e\.g)\b"
    rf"|\s{{0,4}}[✅✔👍]|です|だ|입니다|이다|\s{{0,4}}(?:{ENDS_IN_LANGUAGES})(?!\w)"
    r"|\s{1,4}[-–—]\s|\s{1,4}(?:because|since|as(?!\s{1,4}well)|for|with|over|based|due|given)\b"
)
MARK = r"(?:[)'’\]}>]{1,6}[.:]?|[.:])"
REASON = (
    r"(?=,?\s{1,4}(?:because|since)\b|,\s{1,4}(?:obviously|clearly|definitely)\s{0,4}(?:[.!]|$)"
    r"|\s{1,4}[-–—]\s|\s{1,4}\((?-i:[A-Z0-9\\]))"
)
SMALL_ENDS = re.compile(r"\s{0,2}(?:[)\]}'’;!\n]|[.:,](?!\w)|\Z)")
TEXT = r"|(?<=[)\]}])\s{0,4}(?-i:[A-Za-z0-9\\])|\s{1,4}(?-i:[A-Z0-9\\])"
"""The text of a choice next to its label: `(B) the city`, `B Paris`."""
VERB = r"\s{0,4}(?:is|are|was|would|seems?|can|could|does|do|looks?)"
LISTED = (
    r"{shut}\s{{0,4}}(?:(?:[,、/|&+\-–—]|\bor\b|\band\b){{1,4}}\s{{0,8}}"
    r"(?:(?:or|and|maybe|perhaps|possibly|option)\b\s{{1,8}}){{0,3}}"
    r"|[,;]\s{{1,4}}also\s{{1,4}}|[;\n]{{1,4}}\s{{0,8}}(?!{open}(?:{labels}){shut}(?:{verb}\b|:))"
    r"|[.)]\s{{1,4}}(?={open}(?:{labels})[.)](?:\s|$))|(?<=[)\]}}])\s{{0,2}}(?=[(\[{{])|[ ]{{1,4}}(?=(?-i:[A-Z0-9])))"
    r"{open}(?-i:(?![a-z]\s))(?:{labels})(?!\w)"
    r"(?!{shut}(?:{verb}\b[^.\n]{{0,40}}\b(?:wrong|incorrect|not|false|out|impossible)\b"
    r"|\s{{0,4}}(?:(?:is|was|does|do|ca|would)n['’]t|think|believe|guess|am)\b))"
)
"""Another choice after one. A choice that is said to be wrong (`B, C is wrong`) is none of a list."""
INTRODUCED = re.compile(
    r"(?:\A|[^\w\s]|\n|(?<!\w)(?:option|optie|opción|opção|choice|answer|letter|antwort|réponse|respuesta|statement|that|only|so|hence|thus|therefore|think|believe|then"
    r"|because|since|as|but|and|clearly|conclude))\s{0,8}[('\[]{0,4}\Z",
    re.I,
)
ONLY = r"\s{1,4}(?:works|fits|matches|holds|remains|satisfies|is\s{1,4}(?:possible|left|valid|consistent))\b"
"""What is said of the only choice that is left."""
DEGREE = (
    r"(?:(?:absolutely|definitely|certainly|clearly|surely|probably|(?:most\s{1,4})?likely|of\s{1,4}course|oh|very|mostly"
    r"|mainly|strongly|overall),?\s{1,4})"
)
VERDICT = (
    r"(?:(?:this|that|it)\s{1,4}is\s{1,4}|is\s{1,4})?(?:the\s{1,4})?"
    r"(?:(?P<right>(?:correct|right|true|yes)\b|[✅✔✓☑])"
    r"|(?P<wrong>(?:incorrect|wrong|false|not\s{1,4}(?:correct|right|true)|no)\b|[❌✗✘]))"
    r"(?!\s{0,2}\?)(?=\s{0,2}(?:[.!,:;)–—-]|$)|\s{1,4}(?:answer|option|choice|because|since|as)\b)"
)
"""What a review says of a choice at the beginning of its line, or after its text."""
RIGHT = (
    r"(?:\s{0,2}\?\s{1,4}yes\s{0,4}(?:[.!]|$)|\s{1,4}it\s{1,4}(?:is|must\s{1,4}be)(?=\s{0,4}(?:[.!,\n]|$))"
    r"|\s{0,2}[:–—-]?\s{0,2}[✓✔✅]|\s{0,2}[:–—-]\s{0,2}(?:yes|true|right)\b|\s{0,2}[:.–—-]\s{0,2}correct\b"
    r"|\s{1,8}(?:fits|works)\s{1,4}best\b|\s{1,8}makes\s{1,4}(?:the\s{1,4})?most\s{1,4}sense\b"
    rf"|\s{{1,8}}(?:ist|est|es|è|é|is|är|er|je|jest|este|là|adalah)\s{{1,8}}{RIGHT_IN_LANGUAGES}(?!\w)"
    r"|\s{1,8}(?:is|would\s{1,8}be|must\s{1,8}be)\s{1,8}(?:(?:the|clearly|thus|therefore|hence|then|indeed|definitely|most)\s{1,8}){0,2}"
    r"(?:correct|right|best|true|answer)\b(?!\s{0,2}\?))"
)
