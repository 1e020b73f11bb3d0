"""The clients of a run: what trading programs send, and what they do when an answer does not come.

Every request has an idempotency key. A request without a final answer is repeated under the same key, at any replica.
What was answered with 2xx is recorded, because the service must never lose it.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx

from chaos.history import Acknowledgement, History
from chaos.observations import TimedAnswer
from chaos.stack import ACCOUNTS, API_KEY, Replica

SYMBOLS = {"INFY": 1500, "SBIN": 800, "TCS": 3500, "RELIANCE": 1300, "ITC": 450, "WIPRO": 250}
"""Symbol to the price that the run sets; the orders' prices lie around it."""

TIMEOUT_S = 12.0
"""Longer than any answer may take."""

LATE_S = 4.0
MOST_TRIES = 6
REMEMBERED = 400
"""How many orders and requests clients may come back to."""
MOST_UNCLEAR = 20
TASKS = "/orders/tasks/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it is sent and repeated."""

    method: str
    path: str
    key: str
    body: dict[str, Any] | None = None


class Load:
    """``run`` sends requests until cancelled. The attributes have the results, which ``History`` describes."""

    def __init__(self, replicas: Sequence[Replica], *, seed: int, pause_s: float) -> None:
        """``pause_s``: the mean time between two requests of a client."""
        self.acknowledged: list[Acknowledgement] = []
        self.counts: Counter[str] = Counter()
        """Requests and answers by kind."""

        self.named_orders: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
        """By key and leg: the orders that answers have named."""

        self.late: list[TimedAnswer] = []
        """Answers that took so long that the checker should see them."""

        self.unclear_answers: list[str] = []
        self.withdrawn: set[str] = set()
        self._sent: Counter[str] = Counter()
        self._denied: Counter[str] = Counter()
        self._replicas = replicas
        self._random = random.Random(seed)
        self._pause_s = pause_s
        self._number = 0
        self._open: deque[str] = deque(maxlen=REMEMBERED)
        self._placed: deque[str] = deque(maxlen=REMEMBERED)
        self._past: deque[Request] = deque(maxlen=REMEMBERED)

    @property
    def denied(self) -> list[str]:
        """Keys under which every request was answered, and every answer said that nothing was sent."""
        return [key for key, count in self._denied.items() if count == self._sent[key]]

    def seen_by_clients(self, history: History) -> History:
        """The history with what the clients have seen."""
        return replace(
            history,
            acknowledged=list(self.acknowledged),
            withdrawn=frozenset(self.withdrawn),
            unclear_answers=list(self.unclear_answers),
            denied=self.denied,
            named_orders={leg: frozenset(order_ids) for leg, order_ids in self.named_orders.items()},
        )

    async def run(self, clients: int) -> None:
        limits = httpx.Limits(max_connections=clients * 6)
        headers = {"X-API-Key": API_KEY}
        async with (
            httpx.AsyncClient(trust_env=False, timeout=TIMEOUT_S, limits=limits, headers=headers) as http,
            asyncio.TaskGroup() as tasks,
        ):
            for _ in range(clients):
                tasks.create_task(self._client(http))

    async def _client(self, http: httpx.AsyncClient) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / self._pause_s))
            request = self._choose()
            if self._open and self._random.random() < 0.12:
                newest = list(self._open)[-10:]
                request = await self._replacement(http, self._random.choice(newest)) or request
            self.counts[f"{request.method} {request.path.split('/')[1]}"] += 1
            if self._random.random() < 0.12:  # the same request at several replicas at once
                await asyncio.gather(*(self._send(http, request) for _ in range(5)))
            else:
                await self._send(http, request)
            self._past.append(request)

    async def _send(self, http: httpx.AsyncClient, request: Request) -> None:
        """Sends the request until it has a final answer, at most ``MOST_TRIES`` times."""
        for _ in range(MOST_TRIES):
            replica = self._random.choice(self._replicas)
            wait = self._random.choice([0, 0, 1, 4])
            self._sent[request.key] += 1
            began_at = asyncio.get_running_loop().time()
            try:
                answer = await http.request(
                    request.method,
                    replica.url + request.path,
                    params={"wait": wait},
                    json=request.body,
                    headers={"Idempotency-Key": request.key},
                )
            except httpx.HTTPError as error:
                self.counts[f"no answer: {type(error).__name__}"] += 1
                self._note_time(request, replica, wait_s=wait, began_at=began_at)
            else:
                self._note_time(request, replica, wait_s=wait, began_at=began_at)
                self.counts[f"answer {answer.status_code}"] += 1
                unsent = answer.is_error and says_unsent(answer)
                self._denied[request.key] += unsent
                if answer.status_code >= 500 and not unsent and len(self.unclear_answers) < MOST_UNCLEAR:
                    text = f"{request.method} {request.path} at {replica.name}: {answer.text[:200]}"
                    self.unclear_answers.append(text)
                if answer.is_success:
                    self._record(request, answer)
                if answer.status_code < 500 and answer.status_code != 429:
                    return
            await asyncio.sleep(self._random.uniform(0.1, 1.0))

    def _note_time(self, request: Request, replica: Replica, *, wait_s: float, began_at: float) -> None:
        seconds = asyncio.get_running_loop().time() - began_at
        if seconds > wait_s + LATE_S and replica.was_up_since(began_at):
            what = f"{request.method} {request.path}"
            self.late.append(TimedAnswer(request=what, replica=replica.name, wait_s=wait_s, seconds=seconds))

    def _record(self, request: Request, answer: httpx.Response) -> None:
        if request.path.startswith(TASKS):
            self.withdrawn.add(request.path.removeprefix(TASKS))
            return
        resource = answer.headers["Location"].rpartition("/")[2]
        self.acknowledged.append(Acknowledgement(idem_key=request.key, resource_id=resource))
        document = answer.json()
        for leg, one in enumerate(document.get("orders", [document])):
            if one.get("order_id") and request.method == "POST":
                self._open.append(one["order_id"])
                self.named_orders[request.key, leg].add(one["order_id"])
            if one.get("task_id") and request.method == "POST":
                self._placed.append(one["task_id"])

    def _choose(self) -> Request:
        dice = self._random.random()
        if dice < 0.15 and self._past:  # clients that repeat their keys, long after the answer
            return self._random.choice(self._past)
        if dice < 0.20 and self._placed:  # mostly one of the last, which may not be finished
            newest = list(self._placed)[-5:]
            return Request(method="DELETE", path=TASKS + self._random.choice(newest), key=self._key())
        if dice < 0.28 and self._open:
            return Request(method="DELETE", path=f"/orders/{self._random.choice(self._open)}", key=self._key())
        if dice < 0.38 and self._open:
            changes = {"quantity": self._random.randint(11, 30)}
            path = f"/orders/{self._random.choice(self._open)}"
            return Request(method="PUT", path=path, key=self._key(), body=changes)
        account = self._random.choice(list(ACCOUNTS))
        if dice < 0.48:
            return self._batch(account)
        return Request(method="POST", path="/orders", key=self._key(), body=self._order() | {"account_id": account})

    async def _replacement(self, http: httpx.AsyncClient, order_id: str) -> Request | None:
        """A request that replaces an order as it is now; None when it cannot be read, or is finished."""
        replica = self._random.choice(self._replicas)
        try:
            answer = await http.get(f"{replica.url}/orders/{order_id}")
        except httpx.HTTPError:
            return None
        order = answer.json() if answer.is_success else {}
        if order.get("state") not in {"open", "partially_filled"}:
            return None
        self.counts["replacement"] += 1
        fields = ("account_id", "exchange", "tradingsymbol", "transaction_type", "quantity", "product")
        body = {name: order[name] for name in fields}
        body |= {
            "order_type": "LIMIT",
            "price": int(SYMBOLS[order["tradingsymbol"]] * self._random.uniform(0.94, 1.01)),
        }
        body["replaces"] = {"order_id": order_id, "version": order["version"]}
        return Request(method="POST", path="/orders", key=self._key(), body=body)

    def _batch(self, account: str) -> Request:
        body = {
            "account_id": account,
            "rollback_on_failure": self._random.random() < 0.8,
            "on_filled": self._random.choice(["report", "square_off"]),
            "orders": [self._order() for _ in range(self._random.randint(2, 6))],
        }
        return Request(method="POST", path="/advanced/batch-orders", key=self._key(), body=body)

    def _order(self) -> dict[str, Any]:
        """Mostly limits that rest below the market; some fill immediately, some are MARKET orders."""
        symbol, price = self._random.choice(list(SYMBOLS.items()))
        order: dict[str, Any] = {
            "exchange": "NSE",
            "tradingsymbol": symbol,
            "transaction_type": "BUY",
            "quantity": 10,
            "product": "MIS",
            "order_type": "LIMIT",
            "price": int(price * 0.95) if self._random.random() < 0.7 else int(price * 1.02),
        }
        dice = self._random.random()
        if dice < 0.1:
            del order["price"]
            return order | {"order_type": "MARKET"}
        if dice < 0.15:
            return order | {"variety": "iceberg", "iceberg_legs": 5, "iceberg_quantity": 2}
        return order

    def _key(self) -> str:
        self._number += 1
        return f"chaos-{self._number:012d}"


def says_unsent(answer: httpx.Response) -> bool:
    """Whether an error answer proves that nothing was sent. A client must get no other 5xx: client libraries repeat
    such requests by themselves."""
    try:
        document = answer.json()
    except ValueError:
        return False
    return isinstance(document, dict) and document.get("sent") == "no"
