"""One owner of a data directory at a time."""

import os
from pathlib import Path

import pytest

from embedded.data_dir import hold_data_dir, read_or_create_secret
from embedded.errors import DataDirectoryInUse, EmbeddedError


def test_a_second_owner_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    """The line names the directory and the process."""
    path = tmp_path / "data"
    with hold_data_dir(path), pytest.raises(DataDirectoryInUse) as refusal, hold_data_dir(path):
        pass
    line = f"the data directory {path} is in use by process {os.getpid()}"
    assert str(refusal.value).startswith(line)


def test_the_next_owner_comes_after_the_first(tmp_path: Path) -> None:
    """Nothing is left locked."""
    for _ in range(2):
        with hold_data_dir(tmp_path / "data") as data:
            assert data.root == tmp_path / "data"


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    """A file is in the way."""
    (tmp_path / "data").write_text("")
    with pytest.raises(EmbeddedError, match=r"data cannot be used: File exists$"), hold_data_dir(tmp_path / "data"):
        pass


def test_a_secret_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    """The same key at every start."""
    secret = read_or_create_secret(tmp_path / "key")
    assert read_or_create_secret(tmp_path / "key") == secret
    assert len(secret) == 32
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
