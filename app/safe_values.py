"""Which API key or password is too easy to guess, and which address is this machine's alone?"""

from __future__ import annotations

import ipaddress
import re

KEY_LENGTH = 16  # characters of an API key outside development
KEY_VARIETY = 8  # of them different
_PLACEHOLDER = re.compile(r"(?i)change.?(me|this|it)|your.?(own.?)?(api.?)?key|placeholder|example|password|secret")
_DEFAULT_PASSWORDS = re.compile(
    r"(?i)(?:postgres(?:ql)?|pass(?:word|wd)?|change.?(?:me|this|it)|secret|admin|root|test|ticker|redis|valkey|default"
    r"|foobared|guest|qwerty|letmein|example|your.?password|placeholder)?[-_!.]?\d{0,4}"
)


def is_default_password(password: str) -> bool:
    """Whether it is empty, or one of those that are tried first: a product's default, a word, a few digits after it."""
    return _DEFAULT_PASSWORDS.fullmatch(password.strip()) is not None


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
