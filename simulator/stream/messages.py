"""The messages of ticker clients: JSON texts with an action `a` and a value `v` (Kite Connect, WebSocket streaming)."""

import json
from dataclasses import dataclass
from typing import Literal, get_args

from simulator.stream.packets import Mode

Action = Literal["subscribe", "unsubscribe", "mode"]
_MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class Command:
    """One message. `mode` is set for the action `mode` only."""

    action: Action
    tokens: tuple[int, ...]
    mode: Mode | None = None


class BadMessage(Exception):
    """A message that is not understood; the text is for the client."""


def parse_command(text: str) -> Command:
    """The command of a message. Raises BadMessage."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("message is not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("message must be an object with `a` and `v`")
    action, value = message.get("a"), message.get("v")
    if action == "subscribe" or action == "unsubscribe":
        return Command(action, _parse_tokens(value))
    if action == "mode":
        return _parse_mode(value)
    raise BadMessage("`a` must be subscribe, unsubscribe or mode")


def _parse_mode(value: object) -> Command:
    if not isinstance(value, list) or len(value) != 2:
        raise BadMessage("`v` of mode must be [mode, [tokens]]")
    wanted, tokens = value
    for mode in _MODES:
        if wanted == mode:
            return Command("mode", _parse_tokens(tokens), mode)
    raise BadMessage("mode must be ltp, quote or full")


def _parse_tokens(value: object) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise BadMessage("`v` must be a list of instrument tokens")
    return tuple(_parse_token(item) for item in value)


def _parse_token(item: object) -> int:
    if isinstance(item, int) and not isinstance(item, bool) and item >= 0:
        return item
    if isinstance(item, str) and item.isascii() and item.isdigit() and len(item) <= 10:
        return int(item)
    raise BadMessage("instrument tokens must be numbers or numeric strings")
