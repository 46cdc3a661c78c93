"""User input is shown literally in Markdown."""

from frontend.words.markdown import address, plain


def test_markup_in_user_input_is_shown_literally() -> None:
    assert plain("*a* [b](c) $x$ <i>") == r"\*a\* \[b\](c) \$x\$ \<i\>"
    assert plain("max_tokens: #1 ~2~") == r"max\_tokens\: \#1 \~2\~"
    assert plain(r"`\n`") == r"\`\\n\`"
    assert address("a`b@c") == "`ab@c`"
