"""The settings of a simulator, fixed at its start. What may change while it runs is set through `/_sim/*`."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

from simulator.clock import MAX_SPEED
from simulator.market.sessions import SessionMode
from simulator.market.universe import UniverseSize

Switch = Literal["on", "off"]
AutosliceAnswer = Literal["object", "array"]
Repeat = Literal["once", "loop"]

DEFAULT_PORT = 9100
DEFAULT_REDIRECT_URL = "http://127.0.0.1:8080/login/callback"
MAX_ACCOUNTS = 999


@dataclass(frozen=True, slots=True)
class RateLimits:
    """How many requests are allowed in a calendar second, minute or day; the defaults are Kite Connect's.

    Orders count per account over all apps, the other classes per API key.
    """

    enforced: Switch = "on"
    """`off`: they are counted and not enforced."""
    orders_per_second: int = 10
    orders_per_minute: int = 400
    orders_per_day: int = 5_000
    quotes_per_second: int = 1
    historical_per_second: int = 3
    others_per_second: int = 10


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """A recording that replaces the simulated prices."""

    file: Path
    speed: float = 1.0
    """Recorded seconds in a real second."""
    repeat: Repeat = "once"

    def __post_init__(self) -> None:
        if not 0 < self.speed <= MAX_SPEED:
            raise ValueError(f"replay_speed must be above 0 and at most {MAX_SPEED:g}, got {self.speed}")


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """One simulator. Raises ValueError for a value out of its range."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = DEFAULT_PORT
    """0: a free port."""
    accounts: int = 1
    """How many, from `SIM001` on."""
    sessions: SessionMode = "always"
    """Trading hours: round the clock, or those of the exchanges."""
    universe: UniverseSize = "small"
    """About 6,000 instruments, or more than 36,000."""
    seed: int = 1
    """Of prices, ids and fault probabilities: the same seed and requests give the same simulator."""
    ticks_per_second: float = 500.0
    """Quote changes per second over the subscribed instruments. With 0 only `/_sim/market` and trades move prices."""
    start_time: datetime | None = None
    """Where the clock starts, aware; None: at the host's time."""
    clock_speed: float = 1.0
    """Simulated seconds in a real second."""
    heartbeat_s: float = 1.0
    """Seconds between the one-byte frames on every idle WebSocket."""
    opening_cash: Decimal = Decimal(10_000_000)
    """Rupees available to each account in each of the two segments at the start of the day."""
    postback_url: str | None = None
    """Where account 1's order updates are posted; other accounts set theirs through `/_sim/session`."""
    redirect_url: str = DEFAULT_REDIRECT_URL
    """Where a login sends the browser, as the app's registration says at Kite."""
    state_dir: Path | None = None
    """Where the exchange's journal is written; None: the exchange ends with the process."""
    autoslice_answer: AutosliceAnswer = "object"
    """The answer to a sliced order: `{"order_id", "children"}`, or an array of the children, as Kite documents it."""
    rate_limits: RateLimits = field(default_factory=RateLimits)
    """Kite's request limits."""
    replay: ReplaySettings | None = None
    """With a recording, `ticks_per_second` has no effect."""

    def __post_init__(self) -> None:
        if not 1 <= self.accounts <= MAX_ACCOUNTS:
            raise ValueError(f"accounts must be between 1 and {MAX_ACCOUNTS}, got {self.accounts}")
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be between 0 and 65535, got {self.port}")
        if self.ticks_per_second < 0:
            raise ValueError(f"ticks_per_second must not be negative, got {self.ticks_per_second}")
        if not 0 <= self.clock_speed <= MAX_SPEED:
            raise ValueError(f"clock_speed must be between 0 and {MAX_SPEED:g}, got {self.clock_speed}")
        if self.start_time is not None and self.start_time.tzinfo is None:
            raise ValueError("start_time must carry a time zone")
