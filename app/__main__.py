"""The command line: ``python -m app [serve | migrate | doctor | login | tail | orders | events | kill |
recover]``.

Without a command it serves.

Exit codes: 0 for success, 1 for a failure (one line says what), 2 for a wrong setting (one line names it).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar
from uuid import UUID

import typer

from app.broker.identifiers import DEFAULT_ACCOUNT
from app.config import Settings, load_settings
from app.errors import ServiceError, SettingsError
from app.ops.logging import configure_logging
from app.ops.redaction import refusal_line
from app.orders.risk.halts import HaltMode
from app.orders.state.model import Resolution

T = TypeVar("T")


def build_cli() -> typer.Typer:
    """The command line with all its commands."""
    cli = typer.Typer(no_args_is_help=False, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

    @cli.callback(invoke_without_command=True)
    def without_command(context: typer.Context) -> None:
        if context.invoked_subcommand is None:
            _serve()

    cli.command("serve", help="Run the service until a signal.")(_serve)
    cli.command("migrate", help="Bring the database schema to this version.")(_migrate)
    cli.command("doctor", help="Check settings, database, schema, Redis and broker sessions.")(_doctor)
    cli.command("login", help="Print the login link; with --request-token, finish the login.")(_login)
    cli.command("tail", help="Print ticks from Redis.")(_tail)
    orders = typer.Typer(no_args_is_help=True, help="Orders whose outcome only an operator can decide.")
    orders.command("doubts", help="List them, with what the order book shows, and the newest alarms.")(_doubts)
    orders.command("resolve", help="Decide the outcome of one.")(_resolve)
    cli.add_typer(orders, name="orders")
    events = typer.Typer(no_args_is_help=True, help="The event log: proof that it is as it was written, and a copy.")
    events.command("verify", help="Check that no event was changed, lost or added.")(_verify_events)
    events.command("export", help="Print the log as lines of JSON.")(_export_events)
    cli.add_typer(events, name="events")
    cli.command("recover", help="Show what a loss of the database has left open.")(_recover)
    cli.command("kill", help="Stop new orders (or --resume them), also while the service is down.")(_kill)
    return cli


@contextmanager
def _one_line_errors() -> Iterator[None]:
    """Print an error that the service raises on purpose as one line on stderr, without a traceback."""
    try:
        yield
    except SettingsError as error:
        typer.echo(refusal_line(str(error)), err=True)
        raise typer.Exit(2) from None
    except ServiceError as error:
        typer.echo(refusal_line(error.message), err=True)
        raise typer.Exit(1) from None


def _serve() -> None:
    with _one_line_errors():
        settings = load_settings()
        from app.commands import serve  # noqa: PLC0415 - a bad setting should not wait for the whole application

        listener = serve.bind(settings.host, settings.port)
        with listener:
            configure_logging(settings)
            code = _run(lambda: serve.serve(settings, listener), loop_factory=serve.loop_factory())
    raise typer.Exit(code)


def _migrate() -> None:
    with _one_line_errors():
        settings = load_settings()
        from app.commands import migrate  # noqa: PLC0415 - Alembic is needed here alone

        typer.echo(migrate.to_head(settings))


def _doctor() -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import doctor  # noqa: PLC0415 - see _serve

        findings = _run(lambda: doctor.examine(settings))
    for finding in findings:
        typer.echo(str(finding))
    raise typer.Exit(1 if any(finding.result == "fail" for finding in findings) else 0)


def _login(
    account: Annotated[str, typer.Option(help="which account")] = DEFAULT_ACCOUNT,
    request_token: Annotated[str, typer.Option(help="from the address that Kite redirected to")] = "",
    url: Annotated[str, typer.Option(help="the running service; by default on this machine")] = "",
) -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import login  # noqa: PLC0415 - see _serve

        service_url = url or f"http://127.0.0.1:{settings.port}"
        if request_token:
            finish = login.exchange(settings, service_url=service_url, account_id=account, request_token=request_token)
            typer.echo(_run(lambda: finish))
        else:
            typer.echo(_run(lambda: login.login_url(settings, service_url=service_url, account_id=account)))


def _tail(
    pattern: Annotated[str, typer.Argument(help="*, a token, a glob of tokens, or EXCHANGE:TRADINGSYMBOL")] = "*",
    count: Annotated[int, typer.Option(min=1, help="stop after so many ticks")] = 20,
    seconds: Annotated[float, typer.Option(min=0.1, help="stop after so long")] = 30.0,
) -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import tail  # noqa: PLC0415 - see _serve

        async def show() -> int:
            shown = 0
            async for tick in tail.ticks(settings, pattern=pattern, count=count, seconds=seconds):
                typer.echo(tick)
                shown += 1
            return shown

        shown = _run(show)
    if shown == 0:
        typer.echo(f"no tick within {seconds:g} s", err=True)
        raise typer.Exit(1)


def _doubts() -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import orders  # noqa: PLC0415 - see _serve

        lines = _run(lambda: orders.doubts(settings))
    for line in lines:
        typer.echo(line)


def _resolve(
    task: Annotated[UUID, typer.Argument(help="the task's id, as `orders doubts` shows it")],
    resolution: Annotated[Resolution, typer.Option("--as", help="requeue: place it again under a new task and tag")],
    note: Annotated[str, typer.Option(help="how you know; for readers of the audit trail")],
    order_id: Annotated[str, typer.Option(help="with placed: the order that the book shows")] = "",
) -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import orders  # noqa: PLC0415 - see _serve
        from app.orders.operators.resolution import OperatorDecision  # noqa: PLC0415 - see _serve

        decision = OperatorDecision(resolution=resolution, note=note, order_id=order_id or None)
        typer.echo(_run(lambda: orders.resolve(settings, task, decision)))


def _verify_events(
    account: Annotated[str, typer.Option(help="of one account only; by default of all")] = "",
    file: Annotated[Path | None, typer.Option(help="an exported log, instead of the database")] = None,
) -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import events  # noqa: PLC0415 - see _serve

        if file is not None:
            with file.open("rb") as lines:
                found = events.verify_copy(settings, lines)
            shown, is_intact = found or ["the copy is as it was written"], not found
        else:
            check = events.verify(settings, account_id=account or None)
            shown, is_intact = _run(lambda: check)
    for line in shown:
        typer.echo(line)
    raise typer.Exit(0 if is_intact else 1)


def _export_events(
    account: Annotated[str, typer.Option(help="of one account only; by default of all")] = "",
) -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import events  # noqa: PLC0415 - see _serve

        async def write() -> None:
            async for line in events.export(settings, account_id=account or None):
                typer.echo(line)

        _run(write)


def _kill(
    reason: Annotated[str, typer.Option(help="for readers of the audit trail")],
    account: Annotated[str, typer.Option(help="of one account only; by default of all")] = "",
    mode: Annotated[HaltMode, typer.Option(help="reduce_only passes orders that reduce a position")] = "halt",
    cancel_open: Annotated[bool, typer.Option("--cancel-open", help="cancel every live order too")] = False,
    lift: Annotated[bool, typer.Option("--resume", help="lift the halt of this scope instead")] = False,
) -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import kill  # noqa: PLC0415 - see _serve

        if lift:
            lines = _run(lambda: kill.resume(settings, account_id=account or None, reason=reason))
        else:
            halt = kill.halt(
                settings,
                account_id=account or None,
                mode=mode,
                open_orders="cancel" if cancel_open else "leave",
                reason=reason,
            )
            lines = _run(lambda: halt)
    for line in lines:
        typer.echo(line)


def _recover(
    account: Annotated[str, typer.Option(help="with --not-ours: of which account")] = DEFAULT_ACCOUNT,
    not_ours: Annotated[str, typer.Option(help="an order without a tag that is none of this service")] = "",
    note: Annotated[str, typer.Option(help="how you know; for readers of the audit trail")] = "",
) -> None:
    with _one_line_errors():
        settings = _quiet_settings()
        from app.commands import recover  # noqa: PLC0415 - see _serve

        if not_ours:
            word = recover.not_ours(settings, account_id=account, order_id=not_ours, note=note)
            lines = [_run(lambda: word)]
        else:
            lines = _run(lambda: recover.report(settings))
    for line in lines:
        typer.echo(line)


def _quiet_settings() -> Settings:
    """Settings for a command that prints its answer: it logs warnings to stderr, and nothing to the service's file."""
    settings = load_settings()
    configure_logging(settings.model_copy(update={"log_level": "WARNING"}), sinks="stream")
    return settings


def _run(
    make: Callable[[], Coroutine[Any, Any, T]], *, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> T:
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(make())


if __name__ == "__main__":
    build_cli()()
