"""When an access token ends."""

from datetime import datetime

import pytest

from app.accounts.model import valid_until
from app.kit.clock import IST


@pytest.mark.parametrize(
    ("login", "end"),
    [
        ("2025-03-03 05:59:59", "2025-03-03 06:00:00"),
        ("2025-03-03 06:00:00", "2025-03-04 06:00:00"),
        ("2025-03-03 08:30:00", "2025-03-04 06:00:00"),
        ("2025-03-03 23:59:59", "2025-03-04 06:00:00"),
    ],
)
def test_a_token_lives_until_the_next_six_in_the_morning(login: str, end: str) -> None:
    """In India, whatever the zone of the moment that is given."""
    since = datetime.fromisoformat(login).replace(tzinfo=IST)
    assert valid_until(since) == datetime.fromisoformat(end).replace(tzinfo=IST)
