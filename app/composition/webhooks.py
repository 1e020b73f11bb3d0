"""Builds webhooks: the operations, the loop that delivers, and the connections to endpoints."""

from __future__ import annotations

import hashlib
import random
import secrets
from dataclasses import dataclass

import httpcore
import httpx

from app.composition.parts import Process
from app.config import Settings
from app.kit.sealing import Sealer
from app.webhooks.attempt import Attempts
from app.webhooks.delivery import DeliveryLoop
from app.webhooks.housekeeping import Housekeeping
from app.webhooks.kept_connections import KeptConnections
from app.webhooks.name_lookup import NameLookup, resolve
from app.webhooks.posting import Posting
from app.webhooks.secrets import EndpointSecrets
from app.webhooks.service import Webhooks


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookParts:
    """Webhooks of one process; nothing runs before the loops do."""

    service: Webhooks  # what clients do
    deliveries: DeliveryLoop  # sends what is due
    housekeeping: Housekeeping  # ends and deletes what is old, counts what waits
    names: NameLookup  # threads that resolve names
    connections: KeptConnections  # to endpoints that answer well


def build_webhooks(process: Process) -> WebhookParts:
    """On the pool of requests: deliveries never take a connection from the path that sends orders."""
    key = _sealing_key(process.settings)
    names = NameLookup(resolve)
    kept = KeptConnections(process.clock)
    posting = Posting(
        names=names,
        dialer=httpcore.AnyIOBackend(),
        tls=httpx.create_ssl_context(trust_env=False),
        clock=process.clock,
        kept=kept,
        allow_loopback=process.settings.webhook_allow_loopback,
    )
    sealed = EndpointSecrets(None if key is None else Sealer(key), random_bytes=secrets.token_bytes)
    attempts = Attempts(posting, secrets=sealed, clock=process.clock, random=random.random)
    return WebhookParts(
        service=Webhooks(
            process.database,
            lock_log=process.log.lock,
            posting=posting,
            attempts=attempts,
            secrets=sealed,
            ids=process.ids,
        ),
        deliveries=DeliveryLoop(process.database, attempts=attempts),
        housekeeping=Housekeeping(process.database),
        names=names,
        connections=kept,
    )


def _sealing_key(settings: Settings) -> bytes | None:
    """What the endpoints' secrets are sealed with; outside of production the secret of the tags does as well."""
    if settings.token_key_bytes is not None or settings.environment == "production":
        return settings.token_key_bytes
    given = settings.order_tag_secret.get_secret_value()
    return hashlib.sha256(f"secrets of webhooks {given}".encode()).digest() if given else None
