"""Batches: up to twenty orders that succeed together or are undone together.

saga           decides a batch's next step from its legs; pure, read it first
legs           the state of a leg, and the position that it leaves; pure
runner         the loop of one account: carries out what the saga decides
finisher       the loop that finishes exits: square-offs, and orders that close positions; read exit_rules first
exit_rules     the price of an exit, what becomes of a live one, and when another follows; pure
exit_placement exit_references   places exits; what the market is for their prices
leg_reader     builds legs from stored tasks and orders
batch_end      the one place where a batch's status changes
batch_documents      a batch as clients see it
batch_store exit_store    SQL
"""
