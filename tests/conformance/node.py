"""The broker's JavaScript client, installed once outside the tree from its lock file, and programs that use it."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest

SCRIPTS: Final = Path(__file__).parent / "js"
PINNED: Final = ("package.json", "package-lock.json")
INSTALL_TIMEOUT_S: Final = 120
RUN_TIMEOUT_S: Final = 60


def install_client() -> Path:
    """The directory with `node_modules`; skips the test where there is no Node or the install fails."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("node and npm are not both on PATH: the broker's JavaScript client cannot run")
    pins = b"".join((SCRIPTS / name).read_bytes() for name in PINNED)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ticker-service"
    target = cache / f"kiteconnectjs-{hashlib.sha256(pins).hexdigest()[:16]}"
    if not target.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            place = Path(scratch) / "client"
            run_install(npm, place)
            if not target.is_dir():  # another test process may have been quicker
                place.rename(target)
    return target


def run_install(npm: str, place: Path) -> None:
    place.mkdir()
    for name in PINNED:
        shutil.copy(SCRIPTS / name, place)
    command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(  # noqa: S603 - the npm on PATH
            command, cwd=place, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"`npm ci` of kiteconnect did not end within {INSTALL_TIMEOUT_S} s")
    if done.returncode != 0:
        pytest.skip(f"`npm ci` of kiteconnect failed: {done.stderr.strip()[-300:]}")


def run_script(name: str, *arguments: str, modules: Path) -> dict[str, Any]:
    """Runs a script; returns the JSON object that it printed last."""
    node = shutil.which("node")
    assert node is not None
    done = subprocess.run(  # noqa: S603 - our own program
        [node, str(SCRIPTS / name), *arguments],
        env={"PATH": os.environ["PATH"], "KITE_MODULES": str(modules)},
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
