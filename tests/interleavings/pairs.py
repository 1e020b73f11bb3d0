"""Which operations meet on which subjects, and one run of two of them: set up, side by side, to rest, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import combinations_with_replacement

from app.orders.state.lease_term import LeaseTerm
from tests.interleavings.checks import Violation, read_facts, violations_of
from tests.interleavings.environment import SIDES, Environment
from tests.interleavings.operations import OPERATIONS, AccountOperation, Context, Sent
from tests.interleavings.rest import Rest
from tests.interleavings.scheduler import Actor, Choose, Program, Run, Scheduler
from tests.interleavings.subject_makers import make_subjects
from tests.interleavings.subjects import Item, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Two operations, by name, and the subject of each."""

    a: str
    b: str
    of_a: Subject
    of_b: Subject

    def __str__(self) -> str:
        subjects = str(self.of_a) if self.of_a is self.of_b else f"{self.of_a}+{self.of_b}"
        return f"{self.a}-{self.b}-{subjects}"

    @property
    def pair(self) -> str:
        return f"{self.a}-{self.b}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A run and what the checker found."""

    run: Run
    violations: tuple[Violation, ...]


def cases_of(one: AccountOperation, other: AccountOperation) -> Iterator[Case]:
    """One case for each subject that both act on; where there is none, each acts on its own first one."""
    shared = [subject for subject in one.acts_on if subject in other.acts_on]
    for subject in shared:
        yield Case(a=one.name, b=other.name, of_a=subject, of_b=subject)
    if not shared:
        yield Case(a=one.name, b=other.name, of_a=one.acts_on[0], of_b=other.acts_on[0])


def all_cases() -> dict[str, list[Case]]:
    """By pair; an operation meets itself too."""
    found = (list(cases_of(one, other)) for one, other in combinations_with_replacement(OPERATIONS.values(), 2))
    return {cases[0].pair: cases for cases in found}


async def run_case(environment: Environment, case: Case, choose: Choose) -> Checked:
    """One run from a fresh account to the checker's verdict. Raises StuckRun."""
    account_id, ledger_before = await environment.new_account(), len(environment.exchange.ledger)
    rest_replica = environment.replica("rest", account_id)
    term = await rest_replica.take_lease()
    term.book_was_read, term.book_read_at = True, term.began_at + timedelta(days=1)  # also since the subjects were made
    items = await make_subjects(environment, rest_replica, term, {case.of_a, case.of_b})
    contexts = {
        name: _context(environment, name, account_id, term=term, subject=subject, item=items[subject])
        for name, subject in zip(SIDES, (case.of_a, case.of_b), strict=True)
    }
    operations = dict(zip(SIDES, (case.a, case.b), strict=True))
    programs = {name: _program(OPERATIONS[operations[name]], context) for name, context in contexts.items()}
    run = await Scheduler(environment.server).run(programs, choose)
    try:
        rest = await Rest.begin(environment, rest_replica)
        await rest.reach(unanswered(items, run, case))
    except Exception as error:  # noqa: BLE001 - a loop of the owner that fails is what is looked for
        return Checked(run=run, violations=(Violation(rule="rest", text=repr(error)),))
    facts = await read_facts(
        environment,
        account_id=account_id,
        ledger_before=ledger_before,
        run=run,
        operations=operations,
        items=items,
    )
    return Checked(run=run, violations=tuple(violations_of(facts)))


def unanswered(items: Mapping[Subject, Item], run: Run, case: Case) -> list[Sent]:
    """Answers that no operation has stored: of what was claimed, and of what was on its way before."""
    found = [ending.value for ending in run.endings.values() if isinstance(ending.value, Sent)]
    stored = [subject for name, subject in ((case.a, case.of_a), (case.b, case.of_b)) if name == "settle"]
    for subject, item in items.items():
        if item.answer is not None and item.task is not None and subject not in stored:
            found.append(Sent(task=item.task, outcome=item.answer))
    return found


def _context(
    environment: Environment, name: str, account_id: str, *, term: LeaseTerm, subject: Subject, item: Item
) -> Context:
    side = environment.processes[name].side
    assert side is not None
    return Context(replica=environment.replica(name, account_id), side=side, term=term, subject=subject, item=item)


def _program(operation: AccountOperation, context: Context) -> Program:
    async def program(actor: Actor) -> object:
        context.side.actor = actor
        try:
            return await operation.run(context)
        finally:
            context.side.actor = None

    return program
