"""Kite's refusals: one exception, and a function for each sentence that clients match on.

Sentences, codes and types are those observed at Kite Connect. A change here changes the wire.
"""

from decimal import Decimal


class KiteError(Exception):
    """A refusal: the HTTP status, and the `error_type` and `message` of Kite's envelope."""

    def __init__(self, message: str, *, status: int, error_type: str) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.error_type = error_type


def input_error(message: str) -> KiteError:
    """400 InputException, the answer to most bad parameters."""
    return KiteError(message, status=400, error_type="InputException")


def missing_field(name: str) -> KiteError:
    """400 for a field that is absent or empty."""
    return input_error(f"Missing or empty field `{name}`")


def token_error() -> KiteError:
    """403 for a pair of key and token that is not valid."""
    return KiteError("Incorrect `api_key` or `access_token`.", status=403, error_type="TokenException")


def request_token_error() -> KiteError:
    """403 for a request or refresh token that is unknown or used."""
    return KiteError("Token is invalid or has expired.", status=403, error_type="TokenException")


def checksum_error() -> KiteError:
    """403 for a login whose checksum does not match."""
    return KiteError("Invalid `checksum`.", status=403, error_type="TokenException")


def route_not_found() -> KiteError:
    """404 for an unknown path."""
    return KiteError("Route not found", status=404, error_type="GeneralException")


def method_not_allowed() -> KiteError:
    """405, also for an unknown variety."""
    return KiteError("Request method not allowed", status=405, error_type="GeneralException")


def too_many_requests() -> KiteError:
    """429 above the limit of a second."""
    return KiteError("Too many requests", status=429, error_type="NetworkException")


def too_many_orders() -> KiteError:
    """429 above the limit of the minute or of the day."""
    return KiteError("Maximum allowed order requests exceeded", status=429, error_type="NetworkException")


def too_many_modifications() -> KiteError:
    """429 above the limit of an order's modifications."""
    return KiteError("Maximum allowed order modifications exceeded.", status=429, error_type="NetworkException")


def unknown_order() -> KiteError:
    """400 for an order id that is not in the user's book of the day."""
    return KiteError("Couldn't find that `order_id`.", status=400, error_type="GeneralException")


def order_in_process(action: str) -> KiteError:
    """400 for an order that is finished or between two statuses; `action` is `cancelled` or `modified`."""
    return input_error(f"Order cannot be {action} as it is being processed. Try later.")


def protection_required() -> KiteError:
    """400 for a MARKET or SL-M order without `market_protection`."""
    return input_error(
        "Market orders without market protection are not allowed via API. "
        "Please set market protection or use a Limit order."
    )


def insufficient_funds(*, required: Decimal, available: Decimal) -> KiteError:
    """400 MarginException; both amounts are in rupees."""
    return KiteError(
        f"Insufficient funds. Required margin is {required:.2f} but available margin is {available:.2f}.",
        status=400,
        error_type="MarginException",
    )


def insufficient_holding(*, tradingsymbol: str, quantity: int, available: int) -> KiteError:
    """400 HoldingException for a CNC sale of more shares than the user has."""
    return KiteError(
        f"Insufficient stock holding. {quantity} of {tradingsymbol} needed, {available} available to sell.",
        status=400,
        error_type="HoldingException",
    )


def needs_authorisation(quantity: int) -> KiteError:
    """428 for a sale of delivered shares that the user has not authorised at the depository."""
    message = f"{quantity} quantity needs authorisation at depository."
    return KiteError(message, status=428, error_type="HoldingException")


def order_timed_out() -> KiteError:
    """400 of unknown outcome: the order may be placed later."""
    return KiteError(
        "Order request timed out. Please check the order book and confirm before placing again.",
        status=400,
        error_type="NetworkException",
    )
