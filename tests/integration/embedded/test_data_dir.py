"""One process at a time uses a data directory."""

import os
from pathlib import Path

import pytest

from embedded.data_dir import lock_data_dir, read_or_create_secret
from embedded.errors import DataDirectoryInUse, EmbeddedError


def test_a_second_process_is_refused_with_the_id_of_the_first(tmp_path: Path) -> None:
    """The error names the directory and the process."""
    path = tmp_path / "data"
    with lock_data_dir(path), pytest.raises(DataDirectoryInUse) as refusal, lock_data_dir(path):
        pass
    line = f"the data directory {path} is in use by process {os.getpid()}"
    assert str(refusal.value).startswith(line)


def test_a_directory_can_be_locked_again_after_its_release(tmp_path: Path) -> None:
    """Nothing is left locked."""
    for _ in range(2):
        with lock_data_dir(tmp_path / "data") as data:
            assert data.root == tmp_path / "data"


def test_a_directory_that_cannot_be_created_is_one_line(tmp_path: Path) -> None:
    """A file has its name."""
    (tmp_path / "data").write_text("")
    with pytest.raises(EmbeddedError, match=r"data cannot be used: File exists$"), lock_data_dir(tmp_path / "data"):
        pass


def test_a_secret_is_created_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    """The same key at every start."""
    secret = read_or_create_secret(tmp_path / "key")
    assert read_or_create_secret(tmp_path / "key") == secret
    assert len(secret) == 32
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
