"""What may a line that people read contain? No secret, no query of a URL, and no control character.

Secrets are hidden by value, as the process knows its own, and by what is written before them: a name such as
``KITE_ACCESS_TOKEN=``, a header, a URL. Escaped control characters keep a text of a client or of the broker from
ending its line and writing another one, or from speaking to a terminal. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote, urlsplit

from pydantic import SecretStr

from app.config import Settings

HIDDEN = "[hidden]"
SHORTEST_SECRET = 8  # characters; a shorter value is not hidden by itself, because it is a part of ordinary words

# name=value, name: value, "name": "value", in URLs, headers and representations; ``NAME: is required`` is a sentence
_NAMED = re.compile(
    r"""(?ix)
    ( (?<![a-z0-9]) [a-z0-9_-]*
      (?: access[_-]?token | request[_-]?token | refresh[_-]?token | enctoken | api[_-]?secret | api[_-]?key
        | checksum | password | passwd | passphrase | secret | token[_-]?key )
      (?! [a-z0-9_-]*_(?: file | enabled ) ) [a-z0-9_-]*
      (?: ["']? \s* = \s* | ["'] \s* : \s* | \s* :
          (?! \s+ (?: at\ least | wants | is | must | needs? | a | an | the | it | only | to | each | every | valid | no
                  | input | field | 32\ random ) \b ) \s* )
      (?: SecretStr\( )? b?["']? )
    ( [^\s"'&,;)}\]]+ )"""
)
_AUTHORIZATION = re.compile(r"""(?i)(authorization["']?\s*[=:,]\s*b?["']?)([^"'\r\n]+)""")
_KITE_TOKEN = re.compile(r"(?i)\b((?:token|bearer)\s+)([A-Za-z0-9_.:+/=-]{8,})")
_SHAPED = re.compile(r"\b(?:whsec_[A-Za-z0-9+/=_-]+|kg_live_[A-Za-z0-9_]+)")
_URL_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+]*://[^\s:/@]*:)([^\s@/]+)@")
_QUERY = re.compile(r"""((?:^|[\s"'(=])(?:[A-Za-z][A-Za-z0-9+.-]*:/)?/[^\s?"'<>]*\?)[^\s"'<>)]+""")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*: ")


def redact(text: str, *, secrets: Iterable[str] = ()) -> str:
    """``text`` with ``[hidden]`` in place of ``secrets``, what is written like a credential, and queries of URLs."""
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, HIDDEN)
    text = _URL_PASSWORD.sub(rf"\1{HIDDEN}@", text)
    text = _QUERY.sub(rf"\1{HIDDEN}", text)
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    text = _NAMED.sub(rf"\1{HIDDEN}", text)
    text = _KITE_TOKEN.sub(rf"\1{HIDDEN}", text)
    return _SHAPED.sub(HIDDEN, text)


def refusal_line(message: str) -> str:
    """The message of a refused start on one clean line.

    The variable at its head stays, and what is wanted of it: they read like a secret and its value (``API_KEY: at least
    16 characters are required``), and are none.
    """
    head = _VARIABLE.match(message)
    return escape(redact(message) if head is None else head.group() + redact(message[head.end() :]))


def escape(text: str) -> str:
    """``text`` on one line: control characters, and those that turn the direction of text, as ``\\x1b``."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def secrets_of(settings: Settings) -> tuple[str, ...]:
    """Every secret of the settings as it may appear in a line, the longest first: of a URL its password."""
    values = [value for name in Settings.model_fields if isinstance(value := getattr(settings, name), SecretStr)]
    return forms_of(values)


def forms_of(values: Iterable[SecretStr]) -> tuple[str, ...]:
    """The texts to hide, the longest first: one may be a part of another."""
    parts = (part for value in values for part in _parts(value.get_secret_value()))
    found = {form for part in parts for form in ((part,) if part.isalnum() else (part, quote(part)))}
    return tuple(sorted((form for form in found if len(form) >= SHORTEST_SECRET), key=len, reverse=True))


def _parts(value: str) -> Iterator[str]:
    if "://" not in value:
        yield from value.replace(",", " ").split()
        return
    password = urlsplit(value).password
    if password:
        yield from (password, unquote(password))
