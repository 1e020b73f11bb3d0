"""What a simulator can be told before it starts. Everything that may change while it runs is set through `/_sim/*`."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal

from simulator.clock import MAX_SPEED

Switch = Literal["on", "off"]
Sessions = Literal["always", "calendar"]
AutosliceAnswer = Literal["object", "array"]
Repeat = Literal["once", "loop"]

DEFAULT_PORT = 9100
DEFAULT_REDIRECT_URL = "http://127.0.0.1:8080/login/callback"
MAX_ACCOUNTS = 999


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Requests allowed in a calendar second, minute or day; the numbers are Kite Connect's own.

    Orders count per account over every app; the other classes count per API key.
    """

    enforced: Switch = "on"
    orders_per_second: int = 10
    orders_per_minute: int = 400
    orders_per_day: int = 5_000
    quotes_per_second: int = 1
    historical_per_second: int = 3
    others_per_second: int = 10


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """A recording in place of made prices. `speed`: recorded seconds in a real second."""

    file: Path
    speed: float = 1.0
    repeat: Repeat = "once"

    def __post_init__(self) -> None:
        if not 0 < self.speed <= MAX_SPEED:
            raise ValueError(f"replay_speed must be above 0 and at most {MAX_SPEED:g}, got {self.speed}")


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """One simulator. `port=0` takes a free port; `start_time=None` starts on the host's clock."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    accounts: int = 1
    sessions: Sessions = "always"
    seed: int = 1
    ticks_per_second: float = 500.0
    """Quote changes per second over the whole universe; 0 stops the paths, so that only `/_sim/market` moves prices."""
    start_time: datetime | None = None
    """Aware; the simulator's clock starts here and runs at `clock_speed`."""
    clock_speed: float = 1.0
    heartbeat_s: float = 1.0
    """Seconds between the one-byte frames on every WebSocket."""
    opening_cash: Decimal = Decimal(10_000_000)
    """Rupees available to each account in each of the two segments at the start of the day."""
    postback_url: str | None = None
    """Where account 1's order updates are posted; other accounts set theirs through `/_sim/session`."""
    redirect_url: str = DEFAULT_REDIRECT_URL
    """Where a login sends the browser, as the app's registration says at Kite."""
    state_dir: Path | None = None
    """Where the exchange is kept, so that it outlives the process; None keeps it in memory."""
    autoslice_answer: AutosliceAnswer = "object"
    """Kite's two shapes: `{"order_id", "children"}`, or an array of the children alone as the docs have it."""
    rate_limits: RateLimits = field(default_factory=RateLimits)
    replay: ReplaySettings | None = None
    """Prices come from a recording; `ticks_per_second` has no effect then."""

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
