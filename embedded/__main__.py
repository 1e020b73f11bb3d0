"""`python -m embedded`, which `make run` calls: start the whole product, say how to use it, stop it on Ctrl-C.

Exit codes: 0 stopped by a signal, 1 something did not start or ended by itself, 2 a bad setting.
"""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import httpx

from embedded.banner import LEGS, Facts, render_banner
from embedded.errors import EmbeddedError
from embedded.product import PRODUCT_PROGRAMS, Product, Programs, running_product, watch
from embedded.seed import Seeded, seed_subscriptions, wait_for_last_prices
from embedded.settings import DEFAULT_DATA_DIR, BadSetting, RunSettings, read_settings

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REQUEST_TIMEOUT_S = 30.0


class StopRequested(BaseException):
    """Somebody asked us to stop. Not an Exception: nothing on the way may take it for a failure."""


def main(environ: dict[str, str], *, programs: Programs = PRODUCT_PROGRAMS) -> int:
    """Run until a signal or a failure; the exit code."""
    try:
        settings = read_settings(environ)
        with stop_requested_by_signals(), running_product(settings, say=say, programs=programs) as product:
            introduce(product, settings)
            watch(product)
    except StopRequested:
        say("stopped")
    except (EmbeddedError, BadSetting) as error:
        print(f"ticker-service: {error}", file=sys.stderr, flush=True)
        return 2 if isinstance(error, BadSetting) else 1
    return 0


def say(line: str) -> None:
    """One line to the newcomer, at once."""
    print(line, flush=True)


@contextmanager
def stop_requested_by_signals() -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or hang-up raises StopRequested wherever we are; later ones cannot disturb the stop."""

    def request_stop(_number: int, _frame: FrameType | None) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise StopRequested

    before = {number: signal.signal(number, request_stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def introduce(product: Product, settings: RunSettings) -> None:
    """Make the first subscriptions and print what can be done now."""
    headers = {"X-API-Key": product.api_key}
    with httpx.Client(base_url=product.url, headers=headers, trust_env=False, timeout=REQUEST_TIMEOUT_S) as client:
        try:
            seeded = seed_subscriptions(client)
            prices = wait_for_last_prices(client, tuple(leg for leg in LEGS if leg in seeded.tokens))
        except httpx.HTTPError as error:
            raise EmbeddedError(f"the service failed at its first request: {error}") from error
    say(render_banner(collect_facts(product, settings, seeded=seeded, prices=prices)))


def collect_facts(product: Product, settings: RunSettings, *, seeded: Seeded, prices: dict[str, float]) -> Facts:
    """The banner's facts, with paths as short as the reader's directory allows."""
    return Facts(
        url=product.url,
        api_key=product.api_key,
        simulator_url=product.simulator_url,
        redis_url=product.redis_url,
        python=shorten(Path(sys.executable)),
        data_dir=shorten(product.data.root),
        data_dir_is_default=settings.data_dir == DEFAULT_DATA_DIR,
        seeded=seeded,
        prices=prices,
    )


def shorten(path: Path) -> str:
    """The path as a shell takes it, relative to the working directory when it is inside it."""
    here = Path.cwd()
    return shlex.quote(str(path.relative_to(here) if path.is_relative_to(here) else path))


if __name__ == "__main__":
    sys.exit(main(dict(os.environ)))
