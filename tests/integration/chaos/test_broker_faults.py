"""The faults at the broker in a long run: the simulator keeps a limited number of them."""

from __future__ import annotations

import random
from collections import Counter

import httpx

from chaos.broker_faults import BrokerFaults
from simulator.server import RunningSimulator


async def test_faults_that_have_struck_are_counted_and_removed(simulator: RunningSimulator) -> None:
    """Those that may strike again stay, and are counted at the end; none is counted twice."""
    counts: Counter[str] = Counter()
    headers = {"Authorization": "token simkey:simtoken"}
    async with httpx.AsyncClient(trust_env=False, base_url=simulator.url, headers=headers) as http:
        faults = BrokerFaults(http, simulator.url, counts=counts, rng=random.Random(1))
        await faults.lose_answers(share=0.5)
        await faults.lost_tags()
        for _ in range(2):
            (await http.get("/orders")).raise_for_status()
        await faults.lost_tags()
        await faults.count_spent()
        assert counts == {"broker GET tag_null": 2}
        left = [fault["kind"] for fault in (await http.get("/_sim/faults")).json()]
        assert left == ["drop_after_accept", "tag_null"]
        (await http.get("/orders")).raise_for_status()
        await faults.clear()
        assert counts == {"broker GET tag_null": 3}
        assert (await http.get("/_sim/faults")).json() == []
