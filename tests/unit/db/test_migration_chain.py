"""The migrations form one chain: two that follow the same one leave a deployment that cannot migrate."""

from alembic.script import ScriptDirectory

from tests.documents import ROOT


def test_the_migrations_are_one_chain() -> None:
    """One head, one base, and every file between them."""
    scripts = ScriptDirectory(str(ROOT / "migrations"))
    assert len(scripts.get_heads()) == 1
    chain = [script.revision for script in scripts.walk_revisions()]
    assert len(chain) == len(list((ROOT / "migrations" / "versions").glob("*.py")))
