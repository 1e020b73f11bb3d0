"""Login and log-out of one account."""

from __future__ import annotations

from pydantic import SecretStr

from app.broker.port import LoginResult
from app.errors import BrokerUnavailable, SessionExpired
from app.kite.endpoints import Endpoint
from app.kite.http import KiteHttp
from app.kite.wire.market import object_of
from app.kite.wire.session import login_checksum, login_url, parse_session

LOGIN_URL = "https://kite.zerodha.com/connect/login"


class KiteSession:
    """Implements ``app.broker.port.SessionGateway``."""

    def __init__(self, http: KiteHttp, *, login_base_url: str = LOGIN_URL) -> None:
        self._http = http
        self._login_base_url = login_base_url

    def login_url(self, *, redirect_params: str | None = None) -> str:
        api_key = self._http.credentials().api_key
        return login_url(self._login_base_url, api_key=api_key, redirect_params=redirect_params)

    async def exchange_request_token(self, request_token: str) -> LoginResult:
        """One POST, never repeated: a request token is good for one exchange. Raises BrokerError."""
        credentials = self._http.credentials()
        form = {
            "api_key": credentials.api_key,
            "request_token": request_token,
            "checksum": login_checksum(
                api_key=credentials.api_key, request_token=request_token, api_secret=credentials.api_secret
            ),
        }
        return parse_session(await self._http.read(Endpoint.LOGIN, "/session/token", method="POST", form=form))

    async def owner_of(self, access_token: SecretStr) -> str:
        """One read of the profile under this token. Raises BrokerError."""
        profile = object_of(await self._http.read(Endpoint.PROFILE, "/user/profile", token=access_token), "profile")
        user_id = profile.get("user_id")
        if not isinstance(user_id, str) or not user_id:
            raise BrokerUnavailable("the profile names no user")
        return user_id

    async def log_out(self) -> None:
        """Make the access token useless; a token that is already dead is no error."""
        credentials = self._http.credentials()
        if credentials.access_token is None:
            return
        query = {"api_key": credentials.api_key, "access_token": credentials.access_token.get_secret_value()}
        try:
            await self._http.read(Endpoint.LOGOUT, "/session/token", method="DELETE", query=query)
        except SessionExpired:
            return
