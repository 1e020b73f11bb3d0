"""Each metric that an alert or the deployment document names is scraped from the running service."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.documents import ROOT, inline_code, read
from tests.integration.conftest import (  # noqa: F401 - fixtures
    RunningService,
    service,
    settings,
    simulator,
)

METRIC = re.compile(r"\b(?:ticker|http|process)_[a-z_]+\b")
RULES = ROOT / "monitoring/alerts.yml"


def _rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


async def test_every_metric_that_an_alert_names_exists(service: RunningService) -> None:  # noqa: F811
    """In the alerts' expressions and in the deployment document's table; a renamed metric would never fire again."""
    documented = " ".join(inline_code(read("PRODUCTION_DEPLOYMENT.md")))
    named = METRIC.findall(" ".join([documented, *(rule["expr"] for rule in _rules())]))
    wanted = {name.removesuffix("_bucket") for name in named}
    scraped = (await service.anonymous.get("/metrics")).text
    there = set(re.findall(r"^# TYPE (\S+)", scraped, re.MULTILINE))
    assert len(wanted) >= 7
    assert wanted - there == set()
    assert 'ticker_feed_connected{account="primary"}' in scraped


def test_every_alert_has_its_severity_and_a_summary() -> None:
    """Two severities; a sentence that names the thing, with the numbers of the case."""
    rules = _rules()
    assert len({rule["alert"] for rule in rules}) == len(rules)
    for rule in rules:
        assert rule["labels"] in ({"severity": "page"}, {"severity": "ticket"}), rule["alert"]
        assert set(rule["annotations"]) == {"summary"}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool to run the rules' own tests with")
def test_the_rules_pass_their_own_tests() -> None:
    """They fire when they should, and only then."""
    done = subprocess.run(  # noqa: S603
        ["promtool", "test", "rules", str(RULES.with_name("alerts_test.yml"))],  # noqa: S607
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
