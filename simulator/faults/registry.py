"""The faults that are set, and which of them strike now.

A fault matches by method, path glob, tag prefix and user; of its matches the first `after` pass, then each strikes with
`probability` until `times` are used up (-1: for ever). Order of registration is the order of effect.
"""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from simulator.faults.kinds import KINDS, BadFaultError, ParamValue, Stage, check_params
from simulator.stream.socket_faults import SocketFault, SocketFaultKind

MAX_FAULTS = 1_000
FIELDS = frozenset({"method", "path", "kind", "times", "probability", "after", "params", "tag_prefix", "user_id"})


@dataclass(frozen=True, slots=True)
class Facts:
    """What a request, push or socket is matched by."""

    method: str = ""
    path: str = ""
    user_id: str | None = None
    tag: str | None = None
    status: str = ""


@dataclass(slots=True)
class Fault:
    """One rule and its count. `matched` counts matches, `struck` the times it took effect."""

    fault_id: str
    kind: str
    method: str
    path: str
    times: int
    probability: float
    after: int
    params: Mapping[str, ParamValue]
    tag_prefix: str | None = None
    user_id: str | None = None
    matched: int = 0
    struck: int = field(default=0)

    @property
    def stage(self) -> Stage:
        return KINDS[self.kind].stage

    @property
    def spent(self) -> bool:
        return 0 <= self.times <= self.struck

    def matches(self, facts: Facts) -> bool:
        if self.user_id is not None and facts.user_id != self.user_id:
            return False
        if self.tag_prefix is not None and not (facts.tag or "").startswith(self.tag_prefix):
            return False
        if self.stage == "update":
            return self.params["status"] in ("", facts.status)
        if self.stage in ("upgrade", "socket"):
            return True
        return self.matches_path(facts.method, facts.path)

    def matches_path(self, method: str, path: str) -> bool:
        return self.method in ("*", method) and fnmatchcase(path, self.path)

    def number(self, name: str) -> int:
        value = self.params[name]
        return int(value)

    def text(self, name: str) -> str:
        return str(self.params[name])


class FaultRegistry:
    """All faults of one simulator. The sockets ask it through `upgrade_fault` and `socket_fault`."""

    def __init__(self, *, seed: int) -> None:
        self._random = random.Random(seed)
        self._faults: dict[str, Fault] = {}
        self._count = 0
        self._watching_sockets = False

    def add(self, spec: Mapping[str, object]) -> Fault:
        """Registers a fault from its JSON form. Raises BadFaultError with what is wrong."""
        if len(self._faults) >= MAX_FAULTS:
            raise BadFaultError(f"there are {MAX_FAULTS} faults already; DELETE some")
        fault = parse_fault(f"fault-{self._count + 1}", spec)
        self._count += 1
        self._faults[fault.fault_id] = fault
        self._refresh()
        return fault

    def active(self) -> Collection[Fault]:
        """All that are registered, spent ones too, in the order of registration."""
        return self._faults.values()

    def remove(self, fault_id: str) -> bool:
        found = self._faults.pop(fault_id, None) is not None
        self._refresh()
        return found

    def clear(self) -> None:
        self._faults.clear()
        self._refresh()

    def take(self, facts: Facts, *stages: Stage) -> list[Fault]:
        """The faults of these stages that strike now; each has used one of its times."""
        if not self._faults:
            return []
        return [
            fault
            for fault in self._faults.values()
            if fault.stage in stages and not fault.spent and fault.matches(facts) and self._strikes(fault)
        ]

    def wants_tag(self, method: str, path: str) -> bool:
        """Whether some fault for this request can be decided only after its body was read."""
        return any(
            fault.tag_prefix is not None and not fault.spent and fault.matches_path(method, path)
            for fault in self._faults.values()
        )

    def upgrade_fault(self, user_id: str) -> SocketFault | None:
        for fault in self.take(Facts(user_id=user_id), "upgrade"):
            return SocketFault(kind="ws_refuse", status=fault.number("status"))
        return None

    def socket_fault(self, user_id: str) -> SocketFault | None:
        """Asked before every frame, so it answers at once while no such fault is set."""
        if not self._watching_sockets:
            return None
        for fault in self.take(Facts(user_id=user_id), "socket"):
            if fault.spent:
                self._refresh()
            return socket_fault_of(fault)
        return None

    def _strikes(self, fault: Fault) -> bool:
        fault.matched += 1
        if fault.matched <= fault.after or self._random.random() >= fault.probability:
            return False
        fault.struck += 1
        return True

    def _refresh(self) -> None:
        self._watching_sockets = any(f.stage == "socket" and not f.spent for f in self._faults.values())


def socket_fault_of(fault: Fault) -> SocketFault:
    kinds: dict[str, SocketFaultKind] = {name: name for name in ("ws_silent", "ws_close", "ws_garbage")}
    code = fault.number("code") if "code" in fault.params else 1011
    return SocketFault(kind=kinds[fault.kind], code=code)


def parse_fault(fault_id: str, spec: Mapping[str, object]) -> Fault:
    """A fault from its JSON form. `tag_prefix` and `user_id` may stand beside the other fields or among the params."""
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
    )


def read_text(spec: Mapping[str, object], name: str, *, default: str) -> str:
    return optional_text(name, spec.get(name)) or default


def optional_text(name: str, value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise BadFaultError(f"`{name}` wants text, got {value!r}")
    return value


def read_whole(spec: Mapping[str, object], name: str, *, default: int, minimum: int) -> int:
    value = spec.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise BadFaultError(f"`{name}` wants a whole number from {minimum}, got {value!r}")
    return value


def read_probability(spec: Mapping[str, object]) -> float:
    value = spec.get("probability", 1)
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    if isinstance(value, bool) or not 0 <= number <= 1:
        raise BadFaultError(f"`probability` wants a number from 0 to 1, got {value!r}")
    return number


def fault_row(fault: Fault) -> dict[str, object]:
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
        "matched": fault.matched,
        "struck": fault.struck,
    }
