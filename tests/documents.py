"""The documents as a reader uses them: code blocks, inline code, links, and the curl commands to paste."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
NAMES = ("README.md", "SECURITY.md", "PRODUCTION_DEPLOYMENT.md", "CHANGELOG.md", "CONTRIBUTING.md")
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_WITH_VALUE = {"-X": "method", "-H": "header", "-d": "body"}
_ALONE = {"-s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Curl:
    """One curl command; ``body`` is None without ``-d``."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any

    @property
    def path(self) -> str:
        """With its query."""
        parts = urlsplit(self.url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    """The fenced blocks of one language, without the indentation that they share."""
    found = [match for match in _FENCE.finditer(text) if match["language"] == language]
    return [re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE) for match in found]


def inline_code(text: str) -> list[str]:
    return _INLINE.findall(_FENCE.sub("", text))


def links(text: str) -> list[str]:
    return _LINK.findall(_FENCE.sub("", text))


def shell_commands(text: str) -> Iterator[list[str]]:
    """Each command of the bash blocks as a list of words; comments and continued lines as a shell reads them."""
    for block in code_blocks(text, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def curl_commands(text: str) -> list[Curl]:
    return [parse_curl(words) for words in shell_commands(text) if words[0] == "curl"]


def parse_curl(words: list[str]) -> Curl:
    """Raises ValueError for an option that the documents do not use, a second URL, or a body that is not JSON."""
    method, body, urls, headers = "", None, [], {}
    rest = iter(words[1:])
    for word in rest:
        match _WITH_VALUE.get(word):
            case "method":
                method = next(rest)
            case "header":
                name, value = next(rest).split(": ", 1)
                headers[name] = value
            case "body":
                body = json.loads(next(rest))
            case _ if word.startswith("-") and word not in _ALONE:
                raise ValueError(f"curl {word}")
            case _ if word not in _ALONE:
                urls.append(word)
    (url,) = urls
    return Curl(method=method or ("GET" if body is None else "POST"), url=url, headers=headers, body=body)
