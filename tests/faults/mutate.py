"""Takes each guard of the service away, one at a time, in a copy of the tree, and shows which test notices.

    python tests/faults/mutate.py [name ...]

First every named test must pass in an unchanged copy. A guard whose test still passes without it is a guard without
proof: exit code 1. Not part of the test run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("app", "chaos", "embedded", "migrations", "simulator", "tests", "pytest.ini", "pyproject.toml")
TIMEOUT_S = 180
FAULTS = "tests/faults/"
ORDERS = "tests/integration/orders/"
LEASES = "tests/integration/db/"
HOOKS = "tests/integration/webhooks/"


@dataclass(frozen=True, slots=True)
class Mutation:
    """Replace ``old`` by ``new`` in ``path``; then ``test`` must fail."""

    name: str
    path: str
    old: str
    new: str
    test: str


MUTATIONS = (
    Mutation(
        "a head has at most so many bytes",
        "app/api/http_connection.py",
        "        if self._bytes > HEAD_MAX_BYTES:",
        "        if False:",
        "tests/e2e/test_attacks.py::test_a_refused_head_is_a_problem",
    ),
    Mutation(
        "a head and a body have a time",
        "app/api/http_connection.py",
        "self.loop.call_later(seconds, self._late)",
        "self.loop.call_later(3600, self._late)",
        "tests/e2e/test_attacks.py::test_a_head_and_a_body_have_a_time",
    ),
    Mutation(
        "silent connections make way",
        "app/api/connection_limits.py",
        "        place.connection.end()",
        "        pass",
        "tests/unit/api/test_connection_limits.py::test_the_one_that_is_silent_for_longest_makes_way",
    ),
    Mutation(
        "a key holder's connection stays",
        "app/api/connection_limits.py",
        "if place in self._all and place.is_counted and key_holders <",
        "if False and key_holders <",
        "tests/unit/api/test_connection_limits.py::test_a_connection_with_a_key_makes_way_for_none",
    ),
    Mutation(
        "requests of others do not count against a key or a probe",
        "app/api/middleware.py",
        'if principal is None and not is_probe and scope["type"] == "http":',
        'if scope["type"] == "http":',
        "tests/integration/api/test_middleware.py::test_addresses_are_limited_without_a_valid_key",
    ),
    Mutation(
        "a foreign name is refused",
        "app/api/trusted_names.py",
        "        if host is not None and not self._trusts(host):",
        "        if False:",
        "tests/integration/api/test_middleware.py::test_pages_of_foreign_names_are_refused",
    ),
    Mutation(
        "a misspelt setting is refused",
        "app/config.py",
        "    refuse_misnamed({**in_file, **environ}, names=names)\n",
        "",
        "tests/unit/test_setting_names.py",
    ),
    Mutation(
        "a default password is refused however it is given",
        "app/setting_values.py",
        "return [*([] if parts.password is None else [unquote(parts.password)]), *in_query]",
        'return [parts.password or ""]',
        "tests/unit/test_config.py::test_production_refuses_what_is_unsafe",
    ),
    Mutation(
        "a weak API key is refused",
        "app/config.py",
        "        if weakness is not None and (",
        "        if False and (",
        "tests/unit/test_config.py::test_staging_needs_a_key_that_is_hard_to_guess",
    ),
    Mutation(
        "a kept connection lives a minute and has its address checked again",
        "app/webhooks/kept_connections.py",
        "            if self._may_be_used(connection):",
        "            if True:",
        HOOKS + "test_kept_connections.py::test_a_connection_is_used_again_and_only_for_a_minute",
    ),
    Mutation(
        "an event that a webhook has still to get is kept",
        "app/events/pruning_store.py",
        ") first WHERE webhook.account_id = %(account_id)s)",
        ") first WHERE false)",
        "tests/integration/events/test_chain_check.py::test_what_is_needed_is_kept_however_old_it_is",
    ),
    Mutation(
        "what was dropped of a log is signed",
        "app/events/chain_check.py",
        "if signed is not None and not signer.is_genuine(signed.dropped, signed.signature):",
        "if False and signed is not None:",
        "tests/integration/events/test_chain_check.py::test_what_was_dropped_cannot_be_changed_unnoticed",
    ),
    Mutation(
        "a client without its snapshot has no position",
        "app/events/order_reader.py",
        "authenticated_frame(start.head, resumed=False)),",
        "authenticated_frame(start.head, resumed=False), start.head.seq),",
        "tests/integration/events/test_event_stream.py::test_a_client_that_got_no_snapshot_begins_again",
    ),
    Mutation(
        "an endpoint gets no more than its slots",
        "app/webhooks/claim_store.py",
        "ORDER BY d.seq LIMIT greatest(open.slots, 0) FOR",
        "ORDER BY d.seq LIMIT 1000 FOR",
        HOOKS + "test_deliveries.py::test_an_endpoint_with_fifty_thousand_deliveries_delays_no_other",
    ),
    Mutation(
        "the answer of a void claim changes nothing",
        "app/webhooks/claim_store.py",
        'AND d.fence = given.fence AND d.status = \'pending\'\n"""',
        'AND d.status = \'pending\'\n"""',
        HOOKS + "test_deliveries.py::test_the_answer_of_a_claim_that_ran_out_changes_nothing",
    ),
    Mutation(
        "every address of a name is checked",
        "app/webhooks/checked_connection.py",
        "for address in addresses:",
        "for address in addresses[:1]:",
        HOOKS + "test_posting.py::test_nothing_is_dialled_where_an_address_is_refused",
    ),
    Mutation(
        "the address that was checked is dialled",
        "app/webhooks/checked_connection.py",
        "connect_tcp(address, self._target.port",
        "connect_tcp(self._target.host, self._target.port",
        HOOKS + "test_posting.py::test_a_name_that_is_bound_anew_between_check_and_connection_changes_nothing",
    ),
    Mutation(
        "the peer is the address that was dialled",
        "app/webhooks/checked_connection.py",
        "if peer is None or parse_address(str(peer[0])) != parse_address(address):",
        "if False:",
        HOOKS + "test_posting.py::test_a_connection_that_ends_at_another_address_is_not_used",
    ),
    Mutation(
        "an answer's bound is on the whole",
        "app/webhooks/posting.py",
        "deadline = asyncio.get_running_loop().time() + total_s",
        "deadline = asyncio.get_running_loop().time() + total_s * 8",
        HOOKS + "test_posting.py::test_no_answer_takes_longer_than_its_bound",
    ),
    Mutation(
        "no unsigned request is sent",
        "app/webhooks/attempt.py",
        "if not secrets:",
        "if False:",
        HOOKS + "test_deliveries.py::test_a_request_that_cannot_be_signed_is_not_sent",
    ),
    Mutation(
        "a gap stands for no end of an order",
        "app/webhooks/housekeeping.py",
        '"order_placed", "order_updated", ',
        '"order_placed", "order_updated", "order_completed", ',
        HOOKS + "test_replay_and_age.py::test_old_news_are_replaced_by_one_gap_and_ends_never",
    ),
    Mutation(
        "an account has ten webhooks at most",
        "app/webhooks/service.py",
        ">= PER_ACCOUNT:",
        ">= 1000:",
        HOOKS + "test_operations.py::test_an_account_has_ten_endpoints_at_most",
    ),
    Mutation(
        "an idle replica keeps the others away for a while only",
        "app/orders/state/egress.py",
        "return 3 * self.live_s",
        "return 10**6 * self.live_s",
        FAULTS
        + "test_egress.py::test_a_replica_that_may_send_and_never_takes_the_account_does_not_keep_the_others_away",
    ),
    Mutation(
        "a replica with a refused address does not take the account",
        "app/orders/sending/egress_store.py",
        "(coalesce(e.refused_until <= clock_timestamp(), true)\n                OR (NOT",
        "(true\n                OR (NOT",
        FAULTS + "test_egress.py::test_a_refused_address_is_tried_again_after_its_cool_down",
    ),
    Mutation(
        "a replica that is not allowed does not take the account",
        "app/orders/sending/egress_store.py",
        "SELECT (%(listed)s OR e.accepted_at IS NOT NULL)",
        "SELECT true",
        FAULTS + "test_egress.py::test_a_replica_that_is_not_allowed_never_takes_the_account",
    ),
    Mutation(
        "a task returns to pending once",
        "app/orders/sending/address_refusal.py",
        "if await egress_store.was_returned(tx, task.task_id, attempt=task.attempts):",
        "if False:",
        FAULTS + "test_egress.py::test_a_task_returns_to_pending_only_once",
    ),
    Mutation(
        "a term ends in the transaction that gives its task back",
        "app/orders/sending/address_refusal.py",
        "        await self._term.lease.end(tx)\n",
        "",
        FAULTS + "test_egress.py::test_the_term_is_over_when_the_task_can_be_claimed_again",
    ),
    Mutation(
        "nothing is placed while an account recovers",
        "app/orders/sending/claim_store.py",
        "    AND ({_IS_FREE_CANCEL} OR NOT {IS_RECOVERING})\n",
        "",
        FAULTS + "test_recovery.py::test_a_recovery_that_another_replica_began_stops_the_owner_immediately",
    ),
    Mutation(
        "a claim that is missing stops its owner",
        "app/db/leases.py",
        " AND l.generation >= %(lease_generation)s)",
        ")",
        FAULTS + "test_recovery.py::test_a_claim_that_is_missing_stops_its_owner_within_the_term",
    ),
    Mutation(
        "orders of our prefix without a task begin a recovery",
        "app/orders/recovery/account_recovery.py",
        "if not self._term.is_recovering and await self._is_sign(tx, orphans):",
        "if False:",
        FAULTS + "test_recovery.py::test_an_order_of_our_prefix_without_a_task_is_the_sure_sign",
    ),
    Mutation(
        "an order of which no task can be made is a sign once",
        "app/orders/recovery/account_recovery.py",
        "return not ids <= reported",
        "return True",
        FAULTS + "test_recovery.py::test_an_order_that_no_request_can_have_made_is_a_sign_of_a_loss_once",
    ),
    Mutation(
        "a forgotten send may be older than its doubt",
        "app/orders/reconciliation/doubt_rules.py",
        "task.last_sent_at is None or not task.attempts",
        "task.last_sent_at is None",
        "tests/unit/orders/test_doubt_rules.py::test_a_send_that_the_database_has_forgotten_may_have_been_at_any_time",
    ),
    Mutation(
        "nothing is called withdrawn unsent while the account recovers",
        "app/orders/state/removal_store.py",
        "    AND (t.operation = 'cancel' OR NOT {IS_RECOVERING})\n",
        "",
        FAULTS + "test_recovery.py::test_a_request_taken_back_while_the_account_recovers_is_not_called_unsent",
    ),
    Mutation(
        "a placement of which a part is shown does not end as not placed",
        "app/orders/state/settlement.py",
        "if status in ENDED_WITHOUT_ORDER and await order_store.is_shown(tx, task):",
        "if False:",
        FAULTS + "test_slices.py::test_a_refusal_does_not_end_a_placement_of_which_a_slice_is_shown",
    ),
    Mutation(
        "an accepted increase of an exit counts before the book shows it",
        "app/orders/risk/limit_store.py",
        "OR (m.status = 'completed' AND m.finished_at > coalesce(b.updated_at, '-infinity'))",
        "OR false",
        FAULTS + "test_position_close.py::test_an_exit_that_was_made_larger_counts_before_the_book_shows_it",
    ),
    Mutation(
        "a modification passes no limit on one order",
        "app/orders/entry/risk_check.py",
        "if state.changed is not None:",
        "if False:",
        ORDERS + "test_risk_check.py::test_a_modification_passes_no_limit_that_an_order_does_not_pass",
    ),
    Mutation(
        "an exit takes no tag of one that was forgotten",
        "app/orders/state/tag_store.py",
        "    if await cursor.fetchone() is None:\n        return origin\n    return await unused",
        "    if cursor:\n        return origin\n    return await unused",
        FAULTS + "test_recovered_follow_ups.py::test_an_exit_has_a_tag_of_its_own_beside_one_that_was_forgotten",
    ),
    Mutation(
        "legs of an exit that are still to come count",
        "app/orders/risk/limit_store.py",
        "OR t.status = 'completed' AND {_MORE_FOLLOW}",
        "OR false",
        FAULTS + "test_position_close.py::test_the_legs_of_an_exit_that_are_still_to_come_count",
    ),
    Mutation(
        "a missing order is proven by the whole window",
        "app/orders/recovery/account_recovery.py",
        " and began_at - recovery.quiet_from >= window",
        "",
        "tests/unit/orders/test_loss_signs.py::test_the_proof_needs_the_reads_and_the_window",
    ),
    Mutation(
        "what a copy calls unsent is in doubt",
        "app/orders/recovery/unfinished.py",
        "        await settlement.settle(tx, task.task_id, forgotten(now=now), fence=task.fence)",
        "        pass",
        FAULTS + "test_recovery.py::test_requests_that_the_copy_calls_unsent_are_in_doubt_and_expire_unsent_at_the_end",
    ),
    Mutation(
        "an order without a tag blocks its key",
        "app/orders/entry/recovered_keys.py",
        "    if similar:",
        "    if False:",
        FAULTS + "test_recovery.py::test_an_order_without_its_tag_blocks_the_key_until_an_operator_speaks",
    ),
    Mutation(
        "a key is looked for in the book after a loss",
        "app/orders/entry/risk_check.py",
        '(state.recovery == "over" and unknown_key)',
        "False",
        FAULTS + "test_recovery.py::test_orders_of_an_older_version_of_the_secret_are_recognised",
    ),
    Mutation(
        "lease term in the trading status of an account",
        "app/orders/state/trading_status_store.py",
        "            WHERE {HELD_BY_TERM}\n",
        "            WHERE true\n",
        ORDERS + "test_trading_statuses.py::test_only_the_owner_of_the_term_writes",
    ),
    Mutation(
        "a trading status that its owner has not confirmed is void",
        "app/orders/views/trading_statuses.py",
        "row.age_s + now_s - last.at_s <= UNCONFIRMED_S",
        "True",
        "tests/unit/orders/test_trading_statuses.py::test_an_answer_older_than_five_seconds_is_void",
    ),
    Mutation(
        "price bounds in the claim",
        "app/orders/sending/claim_store.py",
        "{_READY} AND {_WITHIN_PRICE_BOUNDS} {_FIRST}",
        "{_READY} {_FIRST}",
        FAULTS + "test_price_bounds.py::test_a_price_that_moves_between_the_look_and_the_claim_stops_the_claim",
    ),
    Mutation(
        "an old tick is not believed",
        "app/orders/state/last_prices.py",
        "last.age_s <= max_age_s and last.price > 0",
        "last.price > 0",
        FAULTS + "test_price_bounds.py::test_an_old_tick_is_not_believed_and_the_broker_is_asked",
    ),
    Mutation(
        "the client's own last moment",
        "app/orders/state/new_tasks.py",
        "fresh_until if request.valid_until is None else min(fresh_until, request.valid_until)",
        "fresh_until",
        FAULTS + "test_price_bounds.py::test_an_order_is_not_sent_after_its_valid_until",
    ),
    Mutation(
        "fence in settle",
        "app/orders/state/settlement.py",
        "(fence is not None and task.fence != fence)",
        "False",
        FAULTS + "test_guards.py::test_an_answer_under_an_old_fence_changes_nothing",
    ),
    Mutation(
        "a tag of another account: adoption",
        "app/orders/state/task_store.py",
        "WHERE tag_base = ANY(%s) AND account_id = %s",
        "WHERE tag_base = ANY(%s) AND %s::text IS NOT NULL",
        FAULTS + "test_account_walls.py::test_a_square_off_sells_what_its_own_account_bought",
    ),
    Mutation(
        "no key is called unsent while it is being stored",
        "app/orders/entry/key_memory.py",
        "may_be_stored = isinstance(error, UniqueViolation) or await self._may_be_being_stored(name, error)",
        "may_be_stored = False",
        FAULTS + "test_keys_being_stored.py",
    ),
    Mutation(
        "a wait that ended proves nothing while the database is away",
        "app/orders/entry/key_memory.py",
        "isinstance(failure, Unavailable) and isinstance(failure.__cause__, _WAITS_THAT_ENDED)",
        "False",
        FAULTS + "test_keys_being_stored.py",
    ),
    Mutation(
        "the rows of a lost commit are found before a limit counts them",
        "app/orders/entry/risk_check.py",
        "            await _insert(tx, intent)\n        state",
        "        state",
        FAULTS + "test_acceptance_faults.py",
    ),
    Mutation(
        "what was sent under a lost claim is a doubt",
        "app/orders/reconciliation/overdue.py",
        "and not self._settlement.sends.sent_after(task, task.fence - 1)",
        "",
        FAULTS + "test_lost_claims.py::test_a_claim_of_which_something_was_sent_is_a_doubt",
    ),
    Mutation(
        "the claim of another process is a doubt",
        "app/orders/reconciliation/overdue.py",
        "task.claimed_by == self._term.lease.owner and",
        "",
        FAULTS + "test_lost_claims.py::test_a_claim_of_another_process_is_a_doubt",
    ),
    Mutation(
        "a forgotten send is a doubt",
        "app/orders/state/settlement.py",
        "if verdict.event in _ENDS_UNSENT and self.sends.sent_after(task, task.fence):",
        "if False:",
        FAULTS + "test_forgotten_commits.py",
    ),
    Mutation(
        "an illegible row may be ours",
        "app/orders/reconciliation/book_gaps.py",
        "if row.subject is None or row.tags is None or any(",
        "if any(",
        FAULTS + "test_unreadable_rows.py::test_an_illegible_row_proves_no_absence_and_is_said",
    ),
    Mutation(
        "an order that the book never shows: the window",
        "app/orders/state/order_store.py",
        "AND NOT {NEVER_SHOWN}",
        "AND ({NEVER_SHOWN} OR true)",
        FAULTS + "test_unreadable_rows.py::test_an_order_that_the_book_never_shows_ends_no_other_proof",
    ),
    Mutation(
        "an answer with another task's order",
        "app/orders/sending/outcome_rules.py",
        "if other_owner is not None:",
        "if other_owner is None and not task:",
        FAULTS + "test_wrong_answers.py::test_an_answer_that_names_another_tasks_order_is_a_doubt",
    ),
    Mutation(
        "bytes behind an answer",
        "app/kite/unread_bytes.py",
        "self.has_stray_bytes |= bool(self._answer.trailing_data[0])",
        "self.has_stray_bytes |= False",
        "tests/unit/kite/test_unread_bytes.py::test_anything_behind_an_answer_is_stray",
    ),
    Mutation(
        "a queue goes on past what is expired",
        "app/orders/sending/claim_store.py",
        "AND s.send_by > clock_timestamp() AND s.unw",
        "AND s.unw",
        FAULTS + "test_queues.py::test_a_task_that_is_over_holds_no_later_one",
    ),
    Mutation(
        "a queue goes on past what is unwanted",
        "app/orders/sending/claim_store.py",
        " AND s.unwanted_since IS NULL AND s.attempts",
        " AND s.attempts",
        FAULTS + "test_queues.py::test_a_task_that_is_over_holds_no_later_one",
    ),
    Mutation(
        "a queue goes on past a tenth attempt",
        "app/orders/sending/claim_store.py",
        " AND s.attempts < {TAG_ATTEMPTS}\n",
        "\n",
        FAULTS + "test_queues.py::test_a_task_that_is_over_holds_no_later_one",
    ),
    Mutation(
        "a queue goes on past an undone batch",
        "app/orders/sending/claim_store.py",
        "                AND NOT EXISTS (SELECT 1 FROM (SELECT s.purpose, s.batch_id) x WHERE {_OF_UNDONE_BATCH})\n",
        "",
        FAULTS + "test_queues.py::test_a_leg_of_a_batch_that_is_undone_holds_no_later_order",
    ),
    Mutation(
        "reads are paced over all replicas",
        "app/kite/governor.py",
        "if pace is not None and not await pace.wait(",
        "if pace is not None and pace is None and not await pace.wait(",
        FAULTS + "test_shared_reads.py::test_two_replicas_do_not_read_faster_than_one_may",
    ),
    Mutation(
        "a replacement waits for its order's end",
        "app/orders/sending/claim_store.py",
        "AND (t.replaces IS NULL OR {IS_REPLACED})",
        "",
        FAULTS + "test_replacements.py::test_a_replacement_is_not_sent_while_the_old_order_may_live",
    ),
    Mutation(
        "a replacement stays behind a fill",
        "app/orders/state/replacement_store.py",
        "AND b.filled_quantity = t.replaces_filled\n",
        "\n",
        FAULTS + "test_replacements.py::test_a_further_fill_before_the_cancel_is_not_replaced",
    ),
    Mutation(
        "one replacement of an order",
        "app/orders/entry/precondition_store.py",
        "r.replaces = b.order_id",
        "false",
        FAULTS + "test_replacement_guards.py::test_two_replacements_of_one_order_are_one",
    ),
    Mutation(
        "no cancel that nothing can follow: halt",
        "app/orders/sending/claim_store.py",
        "AND ({_IS_FREE_CANCEL} OR NOT EXISTS (",
        "AND (t.operation = 'cancel' OR NOT EXISTS (",
        FAULTS + "test_replacement_guards.py::test_a_halt_is_seen_by_the_claim_of_such_a_cancel",
    ),
    Mutation(
        "no cancel that nothing can follow: doubt",
        "app/orders/sending/claim_store.py",
        "(%(places_pass)s AND NOT {_A_DOUBT_PAUSES} AND",
        "(%(places_pass)s AND",
        FAULTS + "test_replacement_guards.py::test_a_doubt_on_the_instrument_keeps_the_old_order_too",
    ),
    Mutation(
        "no cancel that nothing can follow: breaker",
        "app/orders/sending/claim_store.py",
        "(%(places_pass)s AND NOT",
        "(%(places_pass)s IS NOT NULL AND NOT",
        FAULTS + "test_replacement_guards.py::test_an_open_breaker_keeps_the_old_order_too",
    ),
    Mutation(
        "no cancel that nothing can follow: withdrawn",
        "app/orders/sending/claim_store.py",
        "r.replaces = t.target_order_id AND {STILL_REPLACES})",
        "r.replaces = t.target_order_id)",
        FAULTS + "test_removal.py::test_the_cancel_of_a_replaced_order_goes_only_while_the_new_one_is_wanted",
    ),
    Mutation(
        "no cancel that nothing can follow: unreadable book",
        "app/orders/sending/claim_store.py",
        " AND t.created_at < %(book_read_at)s\n",
        "\n",
        FAULTS + "test_removal.py::test_an_order_is_not_cancelled_for_another_one_while_the_book_is_unreadable",
    ),
    Mutation(
        "slices found in part stay in doubt",
        "app/orders/reconciliation/doubt_rules.py",
        "event=Event.FOUND if waited or untaken is None else None",
        "event=Event.FOUND",
        FAULTS + "test_slices.py::test_slices_found_in_the_book_are_completed_when_all_are_there",
    ),
    Mutation(
        "a refused cancel is followed by another",
        "app/orders/state/removal.py",
        "due = [order for order, at in moments if at <= order.now]",
        "due = [order for order, at in moments if at <= order.now and not order.cancels]",
        FAULTS + "test_removal.py::test_a_refused_cancel_of_a_halt_is_followed_by_another",
    ),
    Mutation(
        "no cancel that nothing can follow: time",
        "app/orders/state/new_tasks.py",
        "send_by=min(cancel.send_by, send_by - follows)",
        "send_by=cancel.send_by",
        FAULTS + "test_replacements.py::test_the_cancel_is_over_before_the_order_that_follows_it",
    ),
    Mutation(
        "an order of another day under the same id",
        "app/orders/state/replacement_store.py",
        "b.order_id = t.replaces ORDER BY b.trade_date DESC LIMIT 1",
        "b.order_id = t.replaces ORDER BY b.trade_date LIMIT 1",
        FAULTS + "test_replacement_guards.py::test_an_order_of_another_day_under_the_same_id_says_nothing",
    ),
    Mutation(
        "a replacement withdrawn: the book was read",
        "app/orders/reconciliation/overdue_store.py",
        "{IS_OBSOLETE}\n  AND created_at > coalesce(%(known_since)s::timestamptz, '-infinity')",
        "{IS_OBSOLETE}\n  AND coalesce(%(known_since)s::timestamptz, now()) IS NOT NULL",
        FAULTS + "test_replacement_guards.py::test_a_new_term_does_not_withdraw_before_the_book_was_read",
    ),
    Mutation(
        "a version that has changed",
        "app/orders/entry/preconditions.py",
        "version is None or version not in (task.only_if or ())",
        "version is None",
        FAULTS + "test_replacements.py::test_an_order_that_cannot_be_replaced_is_left_as_it_is",
    ),
    Mutation(
        "clean read: shows all that is known",
        "app/orders/reconciliation/book_gaps.py",
        "for order_id, task_id in known.items() if order_id not in shown}",
        "for order_id, task_id in known.items() if not shown and known is None}",
        FAULTS + "test_order_faults.py::test_a_shrunken_book_proves_nothing",
    ),
    Mutation(
        "clean read: began after the send",
        "app/orders/reconciliation/doubt_rules.py",
        "and started_at > task.updated_at",
        "",
        FAULTS + "test_guards.py::test_a_read_that_began_before_the_doubt_proves_nothing",
    ),
    Mutation(
        "clean read: of the order's own book",
        "app/orders/reconciliation/doubt_rules.py",
        "task.last_sent_at is not None and task.last_sent_at >= began_at",
        "task.last_sent_at is not None",
        FAULTS + "test_guards.py::test_a_doubt_from_before_this_book_is_never_proven_absent",
    ),
    Mutation(
        "yesterday's orders stay yesterday's",
        "app/orders/state/trading_days.py",
        "return max(days)",
        "return trade_date_of(now)",
        "tests/unit/orders/test_trading_days.py",
    ),
    Mutation(
        "what was taken back is cancelled on sight",
        "app/orders/reconciliation/reconciler.py",
        "        # After the book was applied, so that orders which appeared in it are cancelled in the same round.\n"
        "        await self._remove_unwanted(due.now)\n",
        "",
        ORDERS + "test_withdrawal.py::test_an_order_in_doubt_is_cancelled_when_it_shows",
    ),
    Mutation(
        "clean reads: how many",
        "app/orders/reconciliation/doubt_rules.py",
        "proven = task.clean_reads + 1 >= CLEAN_READS_NEEDED",
        "proven = True",
        "tests/unit/orders/test_doubt_rules.py",
    ),
    Mutation(
        "clean reads: for how long",
        "app/orders/reconciliation/doubt_rules.py",
        "return Finding(event=Event.ABSENT if proven and waited else None, clean=True)",
        "return Finding(event=Event.ABSENT if proven else None, clean=True)",
        "tests/unit/orders/test_doubt_rules.py",
    ),
    Mutation(
        "freshness in the claim",
        "app/orders/sending/claim_store.py",
        " AND t.send_by > clock_timestamp()",
        "",
        FAULTS + "test_guards.py::test_a_stale_order_is_not_claimed",
    ),
    Mutation(
        "tag match",
        "app/orders/reconciliation/doubt_rules.py",
        "rows = tuple(order for order in book if attempt_tags(task) & tags_of(order))",
        "rows = tuple(order for order in book if not field_mismatch(task.order, order))[:1]",
        FAULTS + "test_order_faults.py::test_a_row_without_a_tag_is_never_adopted",
    ),
    Mutation(
        "fields must match the tag",
        "app/orders/reconciliation/doubt_rules.py",
        "        if reason:\n            return Finding(event=Event.MISMATCH, rows=rows, reason=reason)\n",
        "",
        "tests/unit/orders/test_doubt_rules.py",
    ),
    Mutation(
        "a confirmed id is enough",
        "app/orders/reconciliation/apply_book.py",
        "return confirmed if confirmed is not None and confirmed.trade_date == day else None",
        "return None",
        FAULTS + "test_book_rows.py::test_row_20_an_order_shown_without_its_tag_still_belongs_to_its_task",
    ),
    Mutation(
        "lease term in the claim",
        "app/orders/sending/claim_store.py",
        "    AND {HELD_BY_TERM}\n",
        "",
        ORDERS + "test_replicas.py::test_a_claim_needs_the_present_term",
    ),
    Mutation(
        "kill check in the claim",
        "app/orders/sending/claim_store.py",
        "(k.mode = 'halt' OR NOT t.reduces)",
        "false",
        FAULTS + "test_guards.py::test_a_halt_is_seen_by_the_claim_itself",
    ),
    Mutation(
        "read before older rows",
        "app/orders/sending/claim_parameters.py",
        "        known_since=term.known_since,",
        "        known_since=None,",
        FAULTS + "test_guards.py::test_a_new_term_sends_no_older_row_before_it_has_read_the_book",
    ),
    Mutation(
        "one second of pause",
        "app/orders/sending/transmission.py",
        "self._clock.monotonic() - claim_began_at > self._settings.claim_to_send_s or",
        "",
        FAULTS + "test_guards.py::test_a_pause_between_claim_and_send_sends_nothing",
    ),
    Mutation(
        "lease held at the send",
        "app/orders/sending/transmission.py",
        "or not self._term.lease.held",
        "",
        FAULTS + "test_guards.py::test_a_lease_that_is_over_by_our_clock_sends_nothing",
    ),
    Mutation(
        "a busy order's cancel is not refused",
        "app/orders/sending/outcome_rules.py",
        "if task.operation is Operation.CANCEL and refusal.being_processed and now < task.send_by:",
        "if False:",
        FAULTS + "test_guards.py::test_a_cancel_of_a_busy_order_is_repeated",
    ),
    Mutation(
        "a doubt is not sent again",
        "app/orders/sending/outcome_rules.py",
        '        event=Event.DOUBT,\n        sent=Sent.UNKNOWN,\n        error=TaskError(code="OUTCOME_UNKNOWN"',
        '        event=Event.RESEND,\n        sent=Sent.UNKNOWN,\n        error=TaskError(code="OUTCOME_UNKNOWN"',
        FAULTS + "test_wire_rows.py::test_row_8_server_errors_with_and_without_placement",
    ),
    Mutation(
        "a throttled order cools down",
        "app/orders/reconciliation/doubt_rules.py",
        "if task.last_sent_at is not None and now - task.last_sent_at < timedelta(seconds=THROTTLE_COOL_DOWN_S):",
        "if False:",
        "tests/unit/orders/test_doubt_rules.py::test_a_throttled_order_goes_once_more_after_a_clean_absence",
    ),
    Mutation(
        "a throttled account cools down",
        "app/orders/sending/transmission.py",
        "self._governor.cool_down(THROTTLE_COOL_DOWN_S)",
        "pass",
        FAULTS + "test_wire_rows.py::test_row_9_a_burst_of_429_loses_nothing",
    ),
    Mutation(
        "first in, first out per instrument",
        "app/orders/sending/claim_store.py",
        "s.account_id = t.account_id AND s.operation = 'place' AND s.instrument = t.instrument\n",
        "false AND s.account_id = t.account_id AND s.operation = 'place' AND s.instrument = t.instrument\n",
        FAULTS + "test_guards.py::test_one_order_of_an_instrument_at_a_time",
    ),
    Mutation(
        "a doubt pauses its instrument",
        "app/orders/sending/claim_store.py",
        "d.account_id = t.account_id AND d.operation = 'place' AND d.status = 'in_doubt'",
        "false",
        FAULTS + "test_guards.py::test_a_doubt_pauses_its_instrument_and_no_other",
    ),
    Mutation(
        "nothing of a batch after a leg that failed",
        "app/orders/sending/claim_store.py",
        "f.status IN {MISSED} OR b.status",
        "b.status",
        FAULTS + "test_guards.py::test_no_leg_of_a_batch_is_sent_after_one_that_failed",
    ),
    Mutation(
        "ends are final",
        "app/orders/state/order_state.py",
        "if known.state.is_terminal or seen.filled_quantity",
        "if seen.filled_quantity",
        "tests/unit/orders/test_doubt_rules.py",
    ),
    Mutation(
        "fills never fall",
        "app/orders/state/order_state.py",
        "if known.state.is_terminal or seen.filled_quantity < known.filled_quantity:",
        "if known.state.is_terminal:",
        "tests/unit/orders/test_doubt_rules.py",
    ),
    Mutation(
        "a late order is taken back",
        "app/orders/reconciliation/apply_book.py",
        'await removal_store.set_unwanted(tx, [task.task_id], "late")',
        "pass",
        FAULTS + "test_order_faults.py::test_an_order_that_shows_after_we_gave_up_is_taken_back",
    ),
    Mutation(
        "the pause of a new owner",
        "app/orders/engine/account_engine.py",
        "await asyncio.sleep(pause_before_sending(sent, now=began_at))",
        "await asyncio.sleep(0)",
        FAULTS + "test_guards.py::test_a_new_owner_waits_out_the_second_of_one_that_died",
    ),
    Mutation(
        "the distance to the last owner",
        "app/orders/sending/hand_over_pause.py",
        "pauses.append(SPACING_S - (now - sent.answered_at).total_seconds())",
        "pass",
        "tests/unit/orders/test_hand_over_pause.py",
    ),
    Mutation(
        "the second of an owner that died",
        "app/orders/sending/hand_over_pause.py",
        "pauses.append(RATE_WINDOW_S - (now - sent.unanswered_at).total_seconds())",
        "pass",
        "tests/unit/orders/test_hand_over_pause.py",
    ),
    Mutation(
        "too many doubts in the claim",
        "app/orders/sending/claim_store.py",
        "    AND ((t.operation <> 'place' AND t.purpose <> 'replace') OR t.reduces OR NOT {MANY_DOUBTS})\n",
        "",
        FAULTS + "test_breaker_faults.py::test_three_doubts_halt_what_is_new_until_the_book_can_be_read",
    ),
    Mutation(
        "the sender remembers what it sent",
        "app/orders/sending/transmission.py",
        "if self._was_sent(task):",
        "if False:",
        FAULTS + "test_forgotten_commits.py::test_an_order_that_this_process_sent_is_not_sent_again_within_its_term",
    ),
    Mutation(
        "older rows expire after a read",
        "app/orders/reconciliation/overdue_store.py",
        "\n  AND (operation <> 'place' OR created_at > coalesce(%(known_since)s::timestamptz, '-infinity'))",
        "",
        FAULTS + "test_forgotten_commits.py::test_an_order_sent_before_a_restore_does_not_expire_unsent",
    ),
    Mutation(
        "the book is stronger than our word",
        "app/orders/reconciliation/apply_book.py",
        "altered |= await self._settle_ended(tx, task, reading)",
        "pass",
        FAULTS + "test_forgotten_commits.py::test_a_refusal_that_was_none_is_seen",
    ),
    Mutation(
        "no leg once its batch is taken back",
        "app/orders/sending/claim_store.py",
        " OR b.status <> 'running'",
        "",
        FAULTS + "test_guards.py::test_no_leg_goes_once_its_batch_is_taken_back",
    ),
    Mutation(
        "a modification waits for its answer",
        "app/orders/reconciliation/doubt_rules.py",
        "if task.status is TaskStatus.RUNNING:",
        "if False:",
        FAULTS + "test_modify_rows.py::test_a_modification_that_fills_the_order_is_not_called_failed",
    ),
    Mutation(
        "an older row changes nothing",
        "app/orders/state/order_state.py",
        " and _is_older(seen, known)",
        " and False",
        FAULTS + "test_modify_rows.py::test_a_stale_book_does_not_take_a_modification_back",
    ),
    Mutation(
        "the book is read before what clients read",
        "app/kite/governor.py",
        ", RequestKind.BOOK: 0",
        "",
        FAULTS + "test_book_rows.py::test_clients_that_read_the_portfolio_do_not_blind_the_reconciler",
    ),
    Mutation(
        "a cancel waits for no order's room",
        "app/orders/sending/sender.py",
        "_SLOT_WAIT_S = 0.25",
        "_SLOT_WAIT_S = 10.0",
        ORDERS + "test_place.py::test_a_cancel_does_not_wait_for_the_rate_limit_of_orders",
    ),
    Mutation(
        "requests that paused do not bunch up",
        "app/kite/pace.py",
        "return max(now, self.left_at[0] + SECOND_S) if full else now",
        "return now",
        "tests/unit/kite/test_pace.py",
    ),
    Mutation(
        "what was taken back does not go once more",
        "app/orders/sending/claim_store.py",
        "    AND t.unwanted_since IS NULL\n",
        "",
        FAULTS + "test_guards.py::test_an_order_taken_back_on_its_way_is_not_sent_again",
    ),
    Mutation(
        "one digit of attempts",
        "app/orders/sending/claim_store.py",
        "    AND (t.operation <> 'place' OR t.attempts < {TAG_ATTEMPTS})\n",
        "",
        FAULTS + "test_guards.py::test_a_tenth_attempt_has_no_tag_and_is_not_made",
    ),
    Mutation(
        "the minute of the last owner",
        "app/orders/engine/account_engine.py",
        "self._governor.restore_minute(sent.ages_s)",
        "pass",
        ORDERS + "test_replicas.py::test_a_new_owner_counts_the_minute_of_the_last_one",
    ),
    Mutation(
        "fills are inferred after a grace",
        "app/orders/reconciliation/inferred_fills.py",
        "        and read_at - order.shown_at >= timedelta(seconds=grace_s)\n",
        "",
        ORDERS + "test_fills.py::test_no_fill_is_inferred_within_the_grace_or_before_the_end",
    ),
    Mutation(
        "fills are inferred at an order's end",
        "app/orders/reconciliation/inferred_fills.py",
        "        and order.state.is_terminal\n",
        "",
        ORDERS + "test_fills.py::test_no_fill_is_inferred_within_the_grace_or_before_the_end",
    ),
    Mutation(
        "nothing is inferred from a cut trade book",
        "app/orders/reconciliation/fill_sync.py",
        "clean = all(key in shown or key[0] in hidden for key, by_this_book in reported.items() if by_this_book)",
        "clean = True",
        ORDERS + "test_fills.py::test_a_trade_book_without_fills_that_it_reported_before_proves_nothing",
    ),
    Mutation(
        "nothing is inferred from an emptied trade book",
        "app/orders/reconciliation/inferred_fills.py",
        "        and order.trade_date == trade_date_of(read_at)\n",
        "",
        "tests/unit/orders/test_inferred_fills.py",
    ),
    Mutation(
        "inferred fills give way",
        "app/orders/reconciliation/fill_sync.py",
        "if fill != order.inferred:",
        "if fill is not None and order.inferred is None:",
        ORDERS + "test_fills.py::test_fills_that_the_trade_book_lacks_are_inferred_until_they_come",
    ),
    Mutation(
        "real and inferred fills do not cross",
        "app/orders/reconciliation/fill_sync.py",
        "await self._settlement.lock(tx, self._account_id)",
        "pass",
        ORDERS + "test_fill_sync.py::test_a_fill_and_the_one_that_stands_for_it_do_not_cross",
    ),
    Mutation(
        "real fills are asked for every so often",
        "app/orders/reconciliation/fill_sync.py",
        "return self._read_at is None or now - self._read_at >= timedelta(seconds=self._settings.audit_s)",
        "return True",
        ORDERS + "test_fill_sync.py::test_the_trade_book_is_read_only_every_so_often_beside_inferred_fills",
    ),
    Mutation(
        "a trade book is whole without what the last one told",
        "app/orders/state/fill_store.py",
        " AND first_seen_at >= %(began_at)s FROM fill",
        " FROM fill",
        ORDERS + "test_fill_sync.py::test_fills_of_an_earlier_book_need_not_be_in_this_one",
    ),
    Mutation(
        "the risk lock of a reduction",
        "app/orders/risk/reduce_only.py",
        "await limit_store.lock_account(tx, account_id)",
        "pass",
        ORDERS + "test_risk_lock.py::test_a_square_off_waits_for_the_risk_lock",
    ),
    Mutation(
        "a repeated key while only reductions pass",
        "app/orders/entry/risk_check.py",
        "await idempotency_store.insert_key(tx, intent.key)",
        "pass",
        ORDERS + "test_risk_lock.py::test_a_repeated_key_is_one_order_under_reduce_only",
    ),
    Mutation(
        "a square-off is a reduction",
        "app/orders/state/new_tasks.py",
        'purpose="square_off",\n            reduces=True',
        'purpose="square_off",\n            reduces=False',
        ORDERS + "test_risk_lock.py::test_a_square_off_passes_reduce_only",
    ),
    Mutation(
        "a smaller reduction is still one",
        "app/orders/risk/reduce_only.py",
        "return reducible.is_covered(side_of(wanted))",
        "return True",
        ORDERS + "test_reducing_changes.py::test_positions_that_no_longer_prove_it_let_nothing_pass",
    ),
    Mutation(
        "one live exit of a position",
        "app/orders/sending/claim_store.py",
        "      AND NOT {ANOTHER_EXIT_IS_OPEN}\n",
        "",
        FAULTS + "test_exits.py::test_a_position_has_one_live_exit",
    ),
    Mutation(
        "a move in doubt stops the next",
        "app/orders/batches/exit_rules.py",
        "if exit_order.is_moving:",
        "if False:",
        "tests/unit/orders/test_exit_rules.py::test_what_becomes_of_a_live_exit",
    ),
    Mutation(
        "an exit's price stays inside the circuit",
        "app/orders/batches/exit_rules.py",
        "    if reference.lower_circuit is not None:",
        "    if False:",
        FAULTS + "test_exits.py::test_no_price_leaves_the_circuit",
    ),
    Mutation(
        "exits of an account share their moves",
        "app/orders/batches/exit_store.py",
        "SELECT %(minute)s - count(*),",
        "SELECT %(minute)s + 0 * count(*),",
        FAULTS + "test_exits.py::test_the_moves_of_an_account_share_one_budget",
    ),
    Mutation(
        "no exit follows one that may still fill",
        "app/orders/batches/exit_rules.py",
        "    if not all(is_finished(one) for one in chain):",
        "    if False:",
        "tests/unit/orders/test_exit_rules.py::test_how_far_the_closing_of_a_position_has_come",
    ),
    Mutation(
        "no exit follows one of unknown outcome",
        "app/orders/batches/exit_rules.py",
        "task.status is TaskStatus.FAILED and task.sent is Sent.UNKNOWN",
        "False",
        "tests/unit/orders/test_exit_rules.py::test_how_far_the_closing_of_a_position_has_come",
    ),
    Mutation(
        "no exit follows one that a client has cancelled",
        "app/orders/batches/exit_placement.py",
        "if not await exit_store.were_cancelled_by_clients(tx, self._account_id, order_ids):",
        "if True:",
        FAULTS + "test_exits.py::test_an_exit_that_a_client_has_cancelled_is_not_placed_again",
    ),
    Mutation(
        "a move passes reduce-only mode",
        "app/orders/state/new_tasks.py",
        'purpose="exit_move", reduces=True',
        'purpose="exit_move", reduces=False',
        FAULTS + "test_exits.py::test_reduce_only_lets_exits_move",
    ),
    Mutation(
        "a late leg changes its batch",
        "app/orders/reconciliation/apply_book.py",
        "if batch is not None and not batch.status.is_open:\n            reason",
        "if False:\n            reason",
        FAULTS + "test_order_faults.py::test_a_leg_that_shows_after_its_batch_has_ended_changes_what_the_batch_says",
    ),
    Mutation(
        "the owner in a guarded statement",
        "app/db/leases.py",
        " AND l.owner = %(lease_owner)s",
        "",
        LEASES + "test_leases.py::test_a_guarded_statement_needs_the_present_term",
    ),
    Mutation(
        "the term in a guarded statement",
        "app/db/leases.py",
        "l.term = %(lease_term)s AND ",
        "",
        LEASES + "test_leases.py::test_a_guarded_statement_needs_the_present_term",
    ),
    Mutation(
        "the lease's end in a guarded statement",
        "app/db/leases.py",
        " AND l.expires_at > clock_timestamp()",
        "",
        LEASES + "test_leases.py::test_a_guarded_statement_needs_the_present_term",
    ),
)


def main(names: list[str]) -> int:
    chosen = [mutation for mutation in MUTATIONS if not names or mutation.name in names]
    if not run_tests(sorted({mutation.test for mutation in chosen}), change=None):
        print("the named tests do not pass on the tree as it is")
        return 1
    unproven = []
    for mutation in chosen:
        verdict = try_without(mutation)
        print(f"{verdict:12} {mutation.name}: {mutation.test}", flush=True)
        if verdict != "noticed":
            unproven.append(mutation.name)
    print(f"{len(chosen) - len(unproven)} of {len(chosen)} guards are proven")
    return 1 if unproven else 0


def try_without(mutation: Mutation) -> str:
    """``noticed``, ``NOT NOTICED``, or ``NOT FOUND`` when the guard is not where the list says."""
    if (ROOT / mutation.path).read_text(encoding="utf-8").count(mutation.old) != 1:
        return "NOT FOUND"
    return "NOT NOTICED" if run_tests([mutation.test], change=mutation) else "noticed"


def run_tests(tests: list[str], *, change: Mutation | None) -> bool:
    """Whether these tests pass in a copy of the tree with this change."""
    with tempfile.TemporaryDirectory(prefix="mutate-") as name:
        tree = Path(name)
        for part in COPIED:
            copy(ROOT / part, tree / part)
        if change is not None:
            path = tree / change.path
            source = path.read_text(encoding="utf-8")
            path.write_text(source.replace(change.old, change.new), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
        done = subprocess.run(  # noqa: S603 - our own fixed commands
            command, cwd=tree, capture_output=True, text=True, check=False, timeout=TIMEOUT_S * len(tests)
        )
    if done.returncode not in {0, 1}:
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-2000:]}")
    return done.returncode == 0


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
    else:
        shutil.copy2(source, target)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
