"""The printed commands work when they are pasted."""

import json
import shlex

from embedded.banner import Facts, render_banner
from embedded.first_subscriptions import FirstSubscriptions


def make_facts(**changes: object) -> Facts:
    values: dict[str, object] = {
        "url": "http://127.0.0.1:8080",
        "api_key": "it's-a-key",
        "simulator_url": "http://127.0.0.1:9100",
        "redis_url": "redis://:pw@127.0.0.1:6379/0",
        "python": ".venv/bin/python",
        "data_dir": ".data",
        "data_dir_is_default": True,
        "subscriptions": FirstSubscriptions({"NSE:INFY": 408065, "NSE:SBIN": 779521}),
        "prices": {"NSE:INFY": 1512.35, "NSE:SBIN": 800.0},
    }
    return Facts(**(values | changes))  # type: ignore[arg-type]


def test_the_batch_order_is_a_command_that_a_shell_takes() -> None:
    """Two LIMIT buys in Kite's fields, above the last price so that they are filled, in whole rupees."""
    text = render_banner(make_facts())
    command = shlex.split(text[text.index("curl -s -X POST") :])
    assert command[4] == "http://127.0.0.1:8080/advanced/batch-orders"
    assert "X-API-Key: it's-a-key" in command
    legs = json.loads(command[command.index("-d") + 1])["orders"]
    assert [(leg["tradingsymbol"], leg["price"]) for leg in legs] == [("INFY", 1520), ("SBIN", 804)]
    assert {leg["order_type"] for leg in legs} == {"LIMIT"}


def test_each_paste_is_a_new_order() -> None:
    """The shell makes the key, with the 16 to 64 characters that the header may have."""
    line = next(line for line in render_banner(make_facts()).splitlines() if "Idempotency-Key" in line)
    assert '"Idempotency-Key: try-$(date +%Y%m%d-%H%M%S)"' in line
    assert 16 <= len("try-20260102-030405") <= 64


def test_without_prices_there_is_no_batch_order() -> None:
    """An order that would be refused is not printed."""
    assert "batch" not in render_banner(make_facts(prices={"NSE:INFY": 1512.35}))


def test_another_data_directory_is_part_of_the_commands() -> None:
    """The commands find the product through DATA_DIR."""
    text = render_banner(make_facts(data_dir="/srv/d", data_dir_is_default=False))
    assert "DATA_DIR=/srv/d .venv/bin/python -m embedded.watch ticks" in text
