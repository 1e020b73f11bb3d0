"""`python -m embedded.app ARGUMENTS`: the service's commands (`python -m app`) on the product that is running here.

Commands such as `orders doubts`, `doctor` and `kill` need the addresses and the key of `make run`, which are in
DATA_DIR/run.json.
"""

import json
import os
import sys
from pathlib import Path

from embedded.data_dir import DataDir
from embedded.product import build_service_environment
from embedded.settings import DEFAULT_DATA_DIR


def main(arguments: list[str]) -> None:
    """Replaces this process by `python -m app`. Raises SystemExit with one line when nothing is running."""
    data = DataDir(Path(os.environ.get("DATA_DIR") or DEFAULT_DATA_DIR).resolve())
    run_file = data.run_file
    try:
        run = json.loads(run_file.read_text())
    except FileNotFoundError:
        sys.exit(f"nothing is running: there is no {run_file}; 'make run' starts it")
    env = build_service_environment(
        os.environ,
        database_url=run["database_url"],
        redis_url=run["redis_url"],
        simulator_url=run["simulator_url"],
        api_key=run["api_key"],
        tag_secret=data.tag_secret.read_text().strip(),
        database_record=data.database_record,
        port=int(run["url"].rpartition(":")[2]),
        logs=data.logs,
    )
    os.execve(sys.executable, [sys.executable, "-m", "app", *arguments], env)  # noqa: S606 - our own program


if __name__ == "__main__":
    main(sys.argv[1:])
