"""Which API key is too easy to guess, and which address is this machine's alone?"""

from __future__ import annotations

import ipaddress
import re

KEY_LENGTH = 16  # characters of an API key outside development
KEY_VARIETY = 8  # of them different
_PLACEHOLDER = re.compile(r"(?i)change.?(me|this|it)|your.?(own.?)?(api.?)?key|placeholder|example|password|secret")


def weakness_of(key: str) -> str | None:
    """What is wrong with an API key, as a sentence; None for one that is hard to guess."""
    if len(key) < KEY_LENGTH:
        return f"at least {KEY_LENGTH} characters are required"
    if len(set(key)) < KEY_VARIETY:
        return f"at least {KEY_VARIETY} different characters are required"
    if _PLACEHOLDER.search(key):
        return "a key of your own is required, this one is a placeholder"
    return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a service that listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
