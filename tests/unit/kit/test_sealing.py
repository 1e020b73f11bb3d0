"""A sealed secret opens with its own key and row only."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kit.sealing import CannotOpen, Sealer


@given(secret=st.text(max_size=200), key=st.binary(min_size=32, max_size=32))
def test_a_sealed_secret_opens_with_its_key_and_row(secret: str, key: bytes) -> None:
    """And is never the same twice."""
    sealer = Sealer(key)
    sealed = sealer.seal(secret, row="a")
    assert sealer.open(sealed, row="a") == secret
    assert sealer.seal(secret, row="a") != sealed


def test_a_sealed_secret_opens_nowhere_else() -> None:
    """Another key, another row, a changed byte, a stub."""
    sealer = Sealer(bytes(32))
    sealed = sealer.seal("token", row="a")
    for other, row, data in (
        (Sealer(b"1" * 32), "a", sealed),
        (sealer, "b", sealed),
        (sealer, "a", sealed[:-1] + bytes([sealed[-1] ^ 1])),
        (sealer, "a", b""),
    ):
        with pytest.raises(CannotOpen):
            other.open(data, row=row)
