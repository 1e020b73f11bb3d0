"""`python -m embedded`, which `make run` calls: starts the whole product, prints how to use it, stops it on Ctrl-C.

Exit codes: 0 stopped by a signal, 1 a program did not start or ended by itself, 2 a bad setting.
"""

import os
import shlex
import sys
from pathlib import Path

import httpx

from embedded.banner import LEGS, Facts, render_banner
from embedded.errors import EmbeddedError
from embedded.first_subscriptions import FirstSubscriptions, subscribe_first, wait_for_last_prices
from embedded.product import PRODUCT_PROGRAMS, Product, Programs, running_product, wait_for_end
from embedded.settings import DEFAULT_DATA_DIR, BadSetting, RunSettings, read_settings
from embedded.stop_signals import StopRequested, stop_requested_by_signals

REQUEST_TIMEOUT_S = 30.0


def main(environ: dict[str, str], *, programs: Programs = PRODUCT_PROGRAMS) -> int:
    """Runs until a signal or a failure; returns the exit code."""
    try:
        settings = read_settings(environ)
        with stop_requested_by_signals(), running_product(settings, say=say, programs=programs) as product:
            introduce(product, settings)
            wait_for_end(product)
    except StopRequested:
        say("stopped")
    except (EmbeddedError, BadSetting) as error:
        print(f"ticker-service: {error}", file=sys.stderr, flush=True)
        return 2 if isinstance(error, BadSetting) else 1
    return 0


def say(line: str) -> None:
    """Prints one line immediately."""
    print(line, flush=True)


def introduce(product: Product, settings: RunSettings) -> None:
    """Makes the first subscriptions and prints the banner. Raises EmbeddedError."""
    headers = {"X-API-Key": product.api_key}
    with httpx.Client(base_url=product.url, headers=headers, trust_env=False, timeout=REQUEST_TIMEOUT_S) as client:
        try:
            subscriptions = subscribe_first(client)
            prices = wait_for_last_prices(client, tuple(leg for leg in LEGS if leg in subscriptions.tokens))
        except httpx.HTTPError as error:
            raise EmbeddedError(f"the service failed at its first request: {error}") from error
    say(render_banner(collect_facts(product, settings, subscriptions=subscriptions, prices=prices)))


def collect_facts(
    product: Product, settings: RunSettings, *, subscriptions: FirstSubscriptions, prices: dict[str, float]
) -> Facts:
    """What the banner shows, with paths relative to the working directory where possible."""
    return Facts(
        url=product.url,
        api_key=product.api_key,
        simulator_url=product.simulator_url,
        redis_url=product.redis_url,
        python=shorten(Path(sys.executable)),
        data_dir=shorten(product.data.root),
        data_dir_is_default=settings.data_dir == DEFAULT_DATA_DIR,
        subscriptions=subscriptions,
        prices=prices,
    )


def shorten(path: Path) -> str:
    """The path, quoted for a shell; relative to the working directory when it is inside it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


if __name__ == "__main__":
    sys.exit(main(dict(os.environ)))
