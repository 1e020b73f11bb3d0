"""What can go wrong at the broker and on a line, as the simulator and the proxy call it."""

from __future__ import annotations

from typing import Any

from chaos.proxy import Direction, Kind

WRITES = (("POST", "/orders/*"), ("PUT", "/orders/*"), ("DELETE", "/orders/*"))
NETWORK_ERROR = {"error_type": "NetworkException", "message": "Request failed (kitetrade-oms)."}
ANSWER_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drop_before_read", {}),
    ("drop_after_accept", {}),
    ("reset", {}),
    ("hang", {"ms": 5000}),
    ("hang", {"ms": 5000, "process": False}),
    ("delay", {"ms": 700}),
    ("half_headers", {"process": True}),
    ("half_headers", {"process": False}),
    ("half_body", {"process": True}),
    ("html_200", {"process": True}),
    ("html_200", {"process": False}),
    ("status", {"code": 503, "process": True, **NETWORK_ERROR}),
    ("status", {"code": 502, "process": False, **NETWORK_ERROR}),
    ("status", {"code": 429, "error_type": "NetworkException", "message": "Too many requests"}),
    ("timeout_400_then_placed", {"after_ms": 1500}),
)
ORDER_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("late_visible", {"ms": 2500}),
    ("late_visible", {"ms": 9000}),
    ("stuck", {"ms": 2000}),
    ("reject", {}),
    ("partial_fill", {"quantity": 3}),
    ("cancel_fill_race", {}),
)
BOOK_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("stale_book", {"ms": 4000}),
    ("shrink_book", {"drop": 1}),
    ("shrink_book", {"drop": 2}),
    ("tag_null", {}),
    ("odd_rows", {"id": True}),
    ("odd_rows", {"id": False}),
    ("status", {"code": 500, **NETWORK_ERROR}),
    ("drop_before_read", {}),
    ("half_body", {"process": True}),
    ("delay", {"ms": 1500}),
)
PUSH_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("drop_update", {}),
    ("duplicate_update", {"copies": 2}),
    ("reorder_update", {"ms": 800}),
    ("ws_close", {}),
)
TOXICS: tuple[tuple[Kind, dict[str, Any]], ...] = (
    ("latency", {"delay_ms": 60, "jitter_ms": 40}),
    ("timeout", {}),
    ("reset_peer", {}),
    ("slow_close", {"delay_ms": 500}),
    ("limit_data", {"size": 700}),
    ("slicer", {"size": 64, "delay_ms": 1}),
    ("bandwidth", {"size": 40_000}),
)
BOTH: tuple[Direction, Direction] = ("up", "down")
