"""``If-Match``: which versions a caller accepts."""

import pytest

from app.api.if_match import etag_of, versions_of
from app.errors import BadInput


@pytest.mark.parametrize(
    ("header", "versions"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"5f0c"', {"5f0c"}),
        ("5f0c", {"5f0c"}),
        ('"5f0c", "a1"', {"5f0c", "a1"}),
        ('W/"5f0c"', set()),
        ('W/"5f0c","a1"', {"a1"}),
        ('""', {""}),
    ],
)
def test_the_versions_that_a_header_accepts(header: str | None, versions: set[str] | None) -> None:
    """None and a star accept every version, a weak tag none."""
    assert versions_of(header) == versions


@pytest.mark.parametrize("header", ["", " ", '"5f0c', '5f0c"', '"a" "b"', "a b", '"a",', "ä", '"a", *', "a,,b"])
def test_a_header_that_is_no_list_of_versions_is_refused(header: str) -> None:
    """An unreadable header must not count as one that accepts every version."""
    with pytest.raises(BadInput, match="If-Match"):
        versions_of(header)


def test_the_header_with_a_version_is_read_back() -> None:
    """A client may send the answer's ETag as it is; without a version there is no header."""
    assert versions_of(etag_of("5f0c")["ETag"]) == frozenset({"5f0c"})
    assert etag_of(None) == {}
