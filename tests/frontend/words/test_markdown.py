"""User input is shown literally in Markdown."""

from frontend.words.markdown import address, plain, sentence


def test_markup_in_user_input_is_shown_literally() -> None:
    assert plain("*a* [b](c) $x$ <i>") == r"\*a\* \[b\](c) \$x\$ \<i\>"
    assert plain("max_tokens: #1 ~2~") == r"max\_tokens\: \#1 \~2\~"
    assert plain(r"`\n`") == r"\`\\n\`"
    assert address("a`b@c") == "`ab@c`"


def test_code_in_a_sentence_stays_code_and_the_rest_is_literal() -> None:
    assert sentence("Set `a_b*` in ![x](http://h/p.png).") == r"Set `a_b*` in !\[x\](http\://h/p.png)."
