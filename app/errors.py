"""Every error that the service raises on purpose, as one tree.

    ServiceError                      code, message
    ├── SettingsError                 variable, wants            the start is refused, exit code 2
    ├── StartError                                               a part cannot start (port, database), exit code 1
    ├── BadInput                      problems                   the caller's request is wrong; nothing was stored
    ├── NotAuthorised                 code                       no key, a wrong key, or not for this account
    ├── NotFound                      what, key
    ├── Gone                          what, key                  it existed once and will not come back
    ├── Conflict                      code                       the request contradicts what is stored
    ├── RateLimited                   retry_after_s
    ├── Unavailable                   code, retry_after_s        a dependency is away; nothing was sent
    └── BrokerError                   message, error_type, http_status       a read or a session call failed
        ├── BrokerRefused                                        the broker refuses; repeating changes nothing
        ├── SessionExpired                                       the access token is dead; log in again
        ├── BrokerThrottled                                      429
        └── BrokerUnavailable                                    transport failure, 5xx, or an unreadable answer

The outcome of sending an order is never an exception: it is a value, see ``app.broker.outcomes``.
Classes carry data; ``str(error)`` is the sentence that a client or an operator reads. ``app.api.problems`` maps the
tree to HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong with a request: where (``("body", "orders", 0, "quantity")``) and what."""

    loc: tuple[str | int, ...]
    msg: str


class ServiceError(Exception):
    """Base of everything raised on purpose. ``code`` is stable and upper-case; clients may switch on it."""

    default_code = "INTERNAL_ERROR"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code


class SettingsError(ServiceError):
    """A setting is missing or wrong: ``variable`` names it, ``wants`` says what is expected."""

    default_code = "BAD_SETTING"

    def __init__(self, variable: str, *, wants: str) -> None:
        super().__init__(f"{variable}: {wants}")
        self.variable = variable
        self.wants = wants


class StartError(ServiceError):
    """A part of the service cannot start; the message is the one line that the operator sees."""

    default_code = "START_FAILED"


class BadInput(ServiceError):
    """The request is wrong in one or more places, all of them named."""

    default_code = "VALIDATION_FAILED"

    def __init__(self, problems: Sequence[Problem], *, code: str | None = None) -> None:
        super().__init__("; ".join(f"{'.'.join(map(str, p.loc))}: {p.msg}" for p in problems), code=code)
        self.problems = tuple(problems)


class NotAuthorised(ServiceError):
    """The caller may not do this. Codes: ``UNAUTHORIZED`` (no valid key), ``FORBIDDEN`` (a key without this right)."""

    default_code = "UNAUTHORIZED"


class NotFound(ServiceError):
    """``what`` (an account, an order) with this ``key`` does not exist."""

    default_code = "NOT_FOUND"

    def __init__(self, what: str, key: str) -> None:
        super().__init__(f"{what} {key} does not exist")
        self.what = what
        self.key = key


class Gone(ServiceError):
    """``what`` with this ``key`` existed once: an expired instrument."""

    default_code = "GONE"

    def __init__(self, what: str, key: str, *, code: str | None = None) -> None:
        super().__init__(f"{what} {key} is no longer there", code=code)
        self.what = what
        self.key = key


class Conflict(ServiceError):
    """The request contradicts the stored state; the code says how."""

    default_code = "CONFLICT"


class RateLimited(ServiceError):
    """The caller sends too many requests; the next one is allowed in ``retry_after_s`` seconds."""

    default_code = "RATE_LIMITED"

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unavailable(ServiceError):
    """A dependency of the service is away. Raised only where nothing can have been sent to the broker."""

    default_code = "UNAVAILABLE"

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float = 1.0) -> None:
        super().__init__(message, code=code)
        self.retry_after_s = retry_after_s


class BrokerError(ServiceError):
    """A call to the broker that has no side effect failed. ``error_type`` and ``http_status`` are the broker's own."""

    default_code = "BROKER_ERROR"

    def __init__(self, message: str, *, error_type: str | None = None, http_status: int | None = None) -> None:
        super().__init__(message)
        self.error_type = error_type
        self.http_status = http_status


class BrokerRefused(BrokerError):
    """The broker understood the request and refused it."""

    default_code = "BROKER_REFUSED"


class SessionExpired(BrokerError):
    """The access token is no longer valid: the account must log in again."""

    default_code = "SESSION_EXPIRED"


class BrokerThrottled(BrokerError):
    """The broker answered 429."""

    default_code = "BROKER_THROTTLED"


class BrokerUnavailable(BrokerError):
    """No readable answer of the broker: a transport failure, a 5xx, or a broken body."""

    default_code = "BROKER_UNAVAILABLE"
