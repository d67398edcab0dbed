"""What the clients add to the generated ones: key or token, a bound, typed errors."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import aclosing
from typing import TypeVar, cast
from urllib.parse import urlsplit

import pyqwest
from connectrpc.client import ConnectClient, ConnectClientSync
from connectrpc.errors import ConnectError
from connectrpc.method import MethodInfo
from connectrpc.request import Headers

from .errors import from_connect

REQ = TypeVar("REQ")
RES = TypeVar("RES")

HeadersLike = Headers | Mapping[str, str]


def checked_base_url(text: str) -> str:
    """Return the address without a slash at its end, or raise ValueError."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"base_url must be an http or https URL, not {text!r}")
    if parts.query or parts.fragment or parts.username is not None:
        raise ValueError("base_url must have no user, query or fragment")
    return text.rstrip("/")


def bearer(key: object) -> str:
    """Return the header that carries the key, or raise an error when none may hold it."""
    if not isinstance(key, str):
        raise TypeError(f"api_key must be a str or a function that returns one, not {type(key).__name__}")
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("api_key must be printable ASCII without spaces")
    return f"Bearer {key}"


Authorization = Callable[[], str]
AsyncAuthorization = Callable[[], Awaitable[str]]


def authorization_of(api_key: str | Callable[[], str]) -> Authorization:
    """Return what makes the header of each call. What can be refused at once is."""
    if callable(api_key):
        return lambda: bearer(api_key())
    fixed = bearer(api_key)
    return lambda: fixed


def async_authorization_of(api_key: str | Callable[[], str | Awaitable[str]]) -> AsyncAuthorization:
    """As :func:`authorization_of`, for functions that may be asynchronous."""
    if callable(api_key):
        provider = api_key

        async def ask() -> str:
            key = provider()
            return bearer(await key if inspect.isawaitable(key) else key)

        return ask
    fixed = bearer(api_key)

    async def known() -> str:
        return fixed

    return known


def with_key(headers: HeadersLike | None, authorization: Authorization) -> Headers:
    """Return the headers of a call with key or token, unless they have one already."""
    result = Headers(headers or {})
    if "authorization" not in result:
        result["authorization"] = authorization()
    return result


async def async_with_key(headers: HeadersLike | None, authorization: AsyncAuthorization) -> Headers:
    """As :func:`with_key`."""
    result = Headers(headers or {})
    if "authorization" not in result:
        result["authorization"] = await authorization()
    return result


class KeyedSync(ConnectClientSync):
    """Base of the synchronous service clients."""

    def __init__(
        self, address: str, *, authorization: Authorization, timeout_ms: int | None, http_client: pyqwest.SyncClient
    ) -> None:
        # The base class would apply its timeout to streams too; those have none here.
        super().__init__(address, send_compression=None, http_client=http_client)
        self._authorization = authorization
        self._unary_timeout_ms = timeout_ms

    def execute_unary(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: HeadersLike | None = None,
        timeout_ms: int | None = None,
        use_get: bool = False,
    ) -> RES:
        # Outside: no gateway had a part in it when there is no key.
        keyed = with_key(headers, self._authorization)
        try:
            return super().execute_unary(
                request=request,
                method=method,
                headers=keyed,
                timeout_ms=self._unary_timeout_ms if timeout_ms is None else timeout_ms,
                use_get=use_get,
            )
        except ConnectError as err:
            raise from_connect(err) from err

    def execute_server_stream(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: HeadersLike | None = None,
        timeout_ms: int | None = None,
    ) -> Iterator[RES]:
        keyed = with_key(headers, self._authorization)
        try:
            yield from super().execute_server_stream(
                request=request,
                method=method,
                headers=keyed,
                timeout_ms=timeout_ms,
            )
        except ConnectError as err:
            raise from_connect(err) from err


class Keyed(ConnectClient):
    """Base of the asynchronous service clients."""

    def __init__(
        self, address: str, *, authorization: AsyncAuthorization, timeout_ms: int | None, http_client: pyqwest.Client
    ) -> None:
        super().__init__(address, send_compression=None, http_client=http_client)
        self._authorization = authorization
        self._unary_timeout_ms = timeout_ms

    async def execute_unary(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: HeadersLike | None = None,
        timeout_ms: int | None = None,
        use_get: bool = False,
    ) -> RES:
        keyed = await async_with_key(headers, self._authorization)
        try:
            return await super().execute_unary(
                request=request,
                method=method,
                headers=keyed,
                timeout_ms=self._unary_timeout_ms if timeout_ms is None else timeout_ms,
                use_get=use_get,
            )
        except ConnectError as err:
            raise _typed(err) from err

    async def execute_server_stream(
        self,
        *,
        request: REQ,
        method: MethodInfo[REQ, RES],
        headers: HeadersLike | None = None,
        timeout_ms: int | None = None,
    ) -> AsyncIterator[RES]:
        keyed = await async_with_key(headers, self._authorization)
        stream = super().execute_server_stream(
            request=request,
            method=method,
            headers=keyed,
            timeout_ms=timeout_ms,
        )
        try:
            # "yield from" of the synchronous form closes what it reads from; this must be told.
            async with aclosing(cast(AsyncGenerator[RES, None], stream)):
                async for message in stream:
                    yield message
        except ConnectError as err:
            raise _typed(err) from err


def _typed(err: ConnectError) -> BaseException:
    # A task that was cancelled must end as one: timeouts and task groups rely on it.
    if isinstance(err.__cause__, asyncio.CancelledError):
        return asyncio.CancelledError(*err.__cause__.args)
    return from_connect(err)
