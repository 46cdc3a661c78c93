"""What people have typed stays as it is where Markdown is read."""

from frontend.words.markdown import address, plain


def test_markup_in_what_people_typed_is_shown_and_not_followed() -> None:
    assert plain("*a* [b](c) $x$ <i>") == r"\*a\* \[b\](c) \$x\$ \<i\>"
    assert plain("max_tokens: #1 ~2~") == r"max\_tokens\: \#1 \~2\~"
    assert plain(r"`\n`") == r"\`\\n\`"
    assert address("a`b@c") == "`ab@c`"
