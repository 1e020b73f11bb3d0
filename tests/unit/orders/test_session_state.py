"""When an account has a session, and when the broker is asked about a token that it has rejected."""

from __future__ import annotations

from pydantic import SecretStr

from app.accounts.token_memory import AccountTokens
from app.broker.port import Credentials
from app.errors import BrokerUnavailable, SessionExpired
from app.kit.clock import SystemClock
from app.orders.state.session_state import SessionState


class Login:
    """The account's token and the broker's answers about it, and the time."""

    def __init__(self) -> None:
        self.reported: list[str] = []
        self.tokens = AccountTokens("primary", on_refused=self.reported.append)
        self.token: SecretStr | None = SecretStr("one")
        self.now = 100.0
        self.asked: list[float] = []
        self.works_again = False

    async def profile(self) -> None:
        """As the broker answers."""
        self.asked.append(self.now - 100.0)
        if not self.works_again:
            raise SessionExpired("dead")
        if self.token is not None:
            self.tokens.accepted(self.token)

    def __call__(self) -> Credentials:
        refused = self.token is not None and self.tokens.is_refused(self.token)
        return Credentials(api_key="key", api_secret=SecretStr(""), access_token=self.token, is_refused=refused)


class Clock(SystemClock):
    """Stands still."""

    def __init__(self, login: Login) -> None:
        self._login = login

    def monotonic(self) -> float:
        return self._login.now


def _session(login: Login) -> SessionState:
    return SessionState(login, profile=login.profile, clock=Clock(login), prove_every_s=15.0)


def test_a_rejected_token_stays_rejected_until_a_request_succeeds() -> None:
    """No time opens it again."""
    login = Login()
    session = _session(login)
    assert session.is_open()
    login.tokens.refused(SecretStr("one"))
    for later in (0.0, 15.1, 86_400.0):
        login.now = 100.0 + later
        assert not session.is_open()
    login.tokens.accepted(SecretStr("one"))
    assert session.is_open()


def test_another_token_opens_the_session_and_no_token_closes_it() -> None:
    """A late refusal of the old token changes nothing."""
    login = Login()
    session = _session(login)
    login.tokens.refused(SecretStr("one"))
    login.token = SecretStr("two")
    login.tokens.refused(SecretStr("one"))
    assert session.is_open()
    login.token = None
    assert not session.is_open()


async def test_the_broker_is_asked_about_a_rejected_token_now_and_then() -> None:
    """Never about one that works, not at once, and not more often than it is said; its answer opens the session."""
    login = Login()
    session = _session(login)
    assert await session.is_proven()
    login.tokens.refused(SecretStr("one"))
    for second in range(50):
        login.now = 100.0 + second
        login.works_again = second > 40
        assert await session.is_proven() == (second >= 45)
    assert login.asked == [15.0, 30.0, 45.0]


async def test_a_broker_that_does_not_answer_proves_nothing() -> None:
    """The token stays rejected, and nothing is raised."""
    login = Login()

    async def unreachable() -> None:
        raise BrokerUnavailable("no answer")

    session = SessionState(login, profile=unreachable, clock=Clock(login), prove_every_s=0.0)
    login.tokens.refused(SecretStr("one"))
    assert [await session.is_proven() for _ in range(3)] == [False] * 3


def test_each_death_of_a_token_is_reported_once() -> None:
    """To the other replicas, whose owner of the account looks for itself."""
    login = Login()
    for _ in range(3):
        login.tokens.refused(SecretStr("one"))
    assert login.reported == ["primary"]
    login.tokens.accepted(SecretStr("one"))
    login.tokens.refused(SecretStr("one"))
    assert login.reported == ["primary"] * 2
