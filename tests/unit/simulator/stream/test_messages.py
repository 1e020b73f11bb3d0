"""Messages of ticker clients, well-formed and not."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.stream.messages import BadMessage, Command, parse_command


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('{"a":"subscribe","v":[408065,884737]}', Command("subscribe", (408065, 884737))),
        ('{"a": "unsubscribe", "v": ["408065"]}', Command("unsubscribe", (408065,))),
        ('{"a":"mode","v":["full",[408065,"5"]]}', Command("mode", (408065, 5), "full")),
        ('{"a":"mode","v":["ltp",[]]}', Command("mode", (), "ltp")),
    ],
)
def test_command_is_read(text: str, command: Command) -> None:
    """Tokens may be numbers or numeric strings, with any spaces."""
    assert parse_command(text) == command


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "must be an object"),
        ('{"a":"jump","v":[1]}', "`a` must be"),
        ('{"v":[1]}', "`a` must be"),
        ('{"a":["subscribe"],"v":[1]}', "`a` must be"),
        ('{"a":"subscribe","v":408065}', "must be a list"),
        ('{"a":"subscribe"}', "must be a list"),
        ('{"a":"subscribe","v":[1.5]}', "must be numbers"),
        ('{"a":"subscribe","v":[-1]}', "must be numbers"),
        ('{"a":"subscribe","v":[true]}', "must be numbers"),
        ('{"a":"subscribe","v":["12x"]}', "must be numbers"),
        ('{"a":"mode","v":["full"]}', "must be \\[mode, \\[tokens\\]\\]"),
        ('{"a":"mode","v":["depth",[1]]}', "mode must be ltp, quote or full"),
        ('{"a":"mode","v":[["full"],[1]]}', "mode must be ltp, quote or full"),
    ],
)
def test_bad_message_is_refused_with_the_reason(text: str, reason: str) -> None:
    """The text is for the author of the client."""
    with pytest.raises(BadMessage, match=reason):
        parse_command(text)


@settings(max_examples=50)
@given(st.text(max_size=60) | st.from_regex(r'\{"a":"(mode|subscribe)","v":.{0,30}\}', fullmatch=True))
def test_arbitrary_text_never_raises_anything_else(text: str) -> None:
    """No message of a client breaks its socket."""
    with contextlib.suppress(BadMessage):
        assert isinstance(parse_command(text), Command)
