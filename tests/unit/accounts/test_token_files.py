"""Access tokens that another program writes."""

from pathlib import Path

from app.accounts.token_files import TokenFiles


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    """A login job that writes the file is all it takes."""
    files = TokenFiles(tmp_path)
    assert files.read("primary") is None
    (tmp_path / "primary").write_text("first\n")
    first = files.read("primary")
    assert first is not None
    assert first.access_token.get_secret_value() == "first"
    (tmp_path / "primary").write_text("second-one\n")
    second = files.read("primary")
    assert second is not None
    assert second.access_token.get_secret_value() == "second-one"
    (tmp_path / "primary").write_text("")
    assert files.read("primary") is None
