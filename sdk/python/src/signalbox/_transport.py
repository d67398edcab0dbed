"""What the clients add to the generated ones: the key, a bound, typed errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
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


def checked_key(key: str) -> str:
    """Return the key, or raise ValueError when no header may hold it."""
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ValueError("api_key must be printable ASCII without spaces")
    return key


def with_key(headers: HeadersLike | None, authorization: str) -> Headers:
    """Return the headers of a call with the key, unless they have one already."""
    result = Headers(headers or {})
    if "authorization" not in result:
        result["authorization"] = authorization
    return result


class KeyedSync(ConnectClientSync):
    """Base of the synchronous service clients."""

    def __init__(
        self, address: str, *, authorization: str, timeout_ms: int | None, http_client: pyqwest.SyncClient
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
        try:
            return super().execute_unary(
                request=request,
                method=method,
                headers=with_key(headers, self._authorization),
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
        try:
            yield from super().execute_server_stream(
                request=request,
                method=method,
                headers=with_key(headers, self._authorization),
                timeout_ms=timeout_ms,
            )
        except ConnectError as err:
            raise from_connect(err) from err


class Keyed(ConnectClient):
    """Base of the asynchronous service clients."""

    def __init__(
        self, address: str, *, authorization: str, timeout_ms: int | None, http_client: pyqwest.Client
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
        try:
            return await super().execute_unary(
                request=request,
                method=method,
                headers=with_key(headers, self._authorization),
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
        stream = super().execute_server_stream(
            request=request,
            method=method,
            headers=with_key(headers, self._authorization),
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
