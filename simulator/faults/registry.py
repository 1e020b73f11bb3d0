"""The faults that are set, and which of them strike now.

A fault matches by method, path glob, tag prefix, user and the client's address. The first `after` matches do nothing;
then each strikes with `probability` until `times` are used up (-1: never). Faults take effect in the order in which
they were set.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from simulator.faults.kinds import KINDS, BadFaultError, FaultTarget, ParamValue, check_params
from simulator.stream.socket_faults import SocketFault, SocketFaultKind

MAX_FAULTS = 1_000
FIELDS = frozenset(
    {"method", "path", "kind", "times", "probability", "after", "params", "tag_prefix", "user_id", "address"}
)


@dataclass(frozen=True, slots=True)
class MatchFacts:
    """What is known of a request, push or socket, and compared with the faults."""

    method: str = ""
    path: str = ""
    user_id: str | None = None
    tag: str | None = None
    status: str = ""
    address: str | None = None


@dataclass(slots=True)
class Fault:
    """One fault, with its counts."""

    fault_id: str
    """With which it is removed."""
    kind: str
    """A key of `KINDS`."""
    method: str
    """Of the request; `*`: any."""
    path: str
    """A glob."""
    times: int
    """How often it strikes; -1: without limit."""
    probability: float
    """From 0 to 1, for each match after the first `after`."""
    after: int
    """How many matches pass first."""
    params: Mapping[str, ParamValue]
    """Those of its kind, complete."""
    tag_prefix: str | None = None
    """Of the order's tag; None: any order."""
    user_id: str | None = None
    """None: any user."""
    address: str | None = None
    """From which the request comes; None: any."""
    matched: int = 0
    """How often it matched."""
    struck: int = field(default=0)
    """How often it took effect."""

    @property
    def target(self) -> FaultTarget:
        return KINDS[self.kind].target

    @property
    def spent(self) -> bool:
        """Whether its `times` are used up."""
        return 0 <= self.times <= self.struck

    def matches(self, facts: MatchFacts) -> bool:
        """Whether it applies; method and path count for requests only."""
        if self.user_id is not None and facts.user_id != self.user_id:
            return False
        if self.address is not None and facts.address != self.address:
            return False
        if self.tag_prefix is not None and not (facts.tag or "").startswith(self.tag_prefix):
            return False
        if self.target == "update":
            return self.params["status"] in ("", facts.status)
        if self.target in ("upgrade", "socket"):
            return True
        return self.matches_path(facts.method, facts.path)

    def matches_path(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and fnmatchcase(path, self.path)

    def number(self, name: str) -> int:
        """A parameter as a whole number."""
        value = self.params[name]
        return int(value)

    def text(self, name: str) -> str:
        """A parameter as text."""
        return str(self.params[name])


class FaultRegistry:
    """All faults of one simulator. It implements `SocketFaults` for the sockets."""

    def __init__(self, *, seed: int) -> None:
        self._random = random.Random(seed)
        self._faults: dict[str, Fault] = {}
        self._count = 0
        self._has_socket_faults = False

    def add(self, spec: Mapping[str, object]) -> Fault:
        """Sets a fault from its JSON form. Raises BadFaultError."""
        if len(self._faults) >= MAX_FAULTS:
            raise BadFaultError(f"there are {MAX_FAULTS} faults already; DELETE some")
        fault = parse_fault(f"fault-{self._count + 1}", spec)
        self._count += 1
        self._faults[fault.fault_id] = fault
        self._update_socket_flag()
        return fault

    def active(self) -> Collection[Fault]:
        """All faults that are set, spent ones included, in the order in which they were set."""
        return self._faults.values()

    def remove(self, fault_id: str) -> bool:
        """Whether there was such a fault."""
        found = self._faults.pop(fault_id, None) is not None
        self._update_socket_flag()
        return found

    def clear(self) -> None:
        self._faults.clear()
        self._update_socket_flag()

    def take(self, facts: MatchFacts, *targets: FaultTarget) -> list[Fault]:
        """The faults of these targets that strike now. Each of them counts it as one of its `times`."""
        if not self._faults:
            return []
        return [
            fault
            for fault in self._faults.values()
            if fault.target in targets and not fault.spent and fault.matches(facts) and self._strikes(fault)
        ]

    def needs_tag(self, method: str, path: str) -> bool:
        """Whether a fault for this request depends on the order's tag, so that the body must be read first."""
        return any(
            fault.tag_prefix is not None and not fault.spent and fault.matches_path(method, path)
            for fault in self._faults.values()
        )

    def upgrade_fault(self, user_id: str) -> SocketFault | None:
        """The fault of a WebSocket upgrade, or None."""
        for fault in self.take(MatchFacts(user_id=user_id), "upgrade"):
            return SocketFault(kind="ws_refuse", status=fault.number("status"))
        return None

    def socket_fault(self, user_id: str) -> SocketFault | None:
        """The fault of an open socket, or None. Called before every frame, so it is fast while no such fault is set."""
        if not self._has_socket_faults:
            return None
        for fault in self.take(MatchFacts(user_id=user_id), "socket"):
            if fault.spent:
                self._update_socket_flag()
            return socket_fault_of(fault)
        return None

    def _strikes(self, fault: Fault) -> bool:
        fault.matched += 1
        if fault.matched <= fault.after or self._random.random() >= fault.probability:
            return False
        fault.struck += 1
        return True

    def _update_socket_flag(self) -> None:
        self._has_socket_faults = any(f.target == "socket" and not f.spent for f in self._faults.values())


def socket_fault_of(fault: Fault) -> SocketFault:
    """A fault of target `socket` as the sockets take it."""
    kinds: dict[str, SocketFaultKind] = {name: name for name in ("ws_silent", "ws_close", "ws_garbage")}
    code = fault.number("code") if "code" in fault.params else 1011
    return SocketFault(kind=kinds[fault.kind], code=code)


def parse_fault(fault_id: str, spec: Mapping[str, object]) -> Fault:
    """A fault from its JSON form. `tag_prefix` and `user_id` may be fields or params. Raises BadFaultError."""
    for name in spec:
        if name not in FIELDS:
            raise BadFaultError(f"unknown field `{name}`; a fault has: {', '.join(sorted(FIELDS))}")
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise BadFaultError(f"unknown fault kind {kind!r}; known: {', '.join(sorted(KINDS))}")
    params = spec.get("params", {})
    if not isinstance(params, Mapping):
        raise BadFaultError("`params` wants an object")
    rest = dict(params)
    tag_prefix = rest.pop("tag_prefix", spec.get("tag_prefix"))
    user_id = rest.pop("user_id", spec.get("user_id"))
    return Fault(
        fault_id=fault_id,
        kind=kind,
        method=read_text(spec, "method", default="*").upper(),
        path=read_text(spec, "path", default="*"),
        times=read_whole(spec, "times", default=1, minimum=-1),
        probability=read_probability(spec),
        after=read_whole(spec, "after", default=0, minimum=0),
        params=check_params(kind, rest),
        tag_prefix=optional_text("tag_prefix", tag_prefix),
        user_id=optional_text("user_id", user_id),
        address=optional_text("address", spec.get("address")),
    )


def read_text(spec: Mapping[str, object], name: str, *, default: str) -> str:
    """A text field, or `default` when it is absent or empty. Raises BadFaultError."""
    return optional_text(name, spec.get(name)) or default


def optional_text(name: str, value: object) -> str | None:
    """The value when it is text or None. Raises BadFaultError."""
    if value is not None and not isinstance(value, str):
        raise BadFaultError(f"`{name}` wants text, got {value!r}")
    return value


def read_whole(spec: Mapping[str, object], name: str, *, default: int, minimum: int) -> int:
    """A whole number from `minimum`. Raises BadFaultError."""
    value = spec.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise BadFaultError(f"`{name}` wants a whole number from {minimum}, got {value!r}")
    return value


def read_probability(spec: Mapping[str, object]) -> float:
    """A number from 0 to 1; 1 when it is absent. Raises BadFaultError."""
    value = spec.get("probability", 1)
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise BadFaultError(f"`probability` wants a number from 0 to 1, got {value!r}")
    return number


def fault_row(fault: Fault) -> dict[str, object]:
    """A row of `GET /_sim/faults`."""
    return {
        "fault_id": fault.fault_id,
        "method": fault.method,
        "path": fault.path,
        "kind": fault.kind,
        "times": fault.times,
        "probability": fault.probability,
        "after": fault.after,
        "params": dict(fault.params),
        "tag_prefix": fault.tag_prefix,
        "user_id": fault.user_id,
        "address": fault.address,
        "matched": fault.matched,
        "struck": fault.struck,
    }
