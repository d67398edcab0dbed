"""Walking lists page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")

Page = tuple[Sequence[T], str]
"""Items, and the token of the page after them."""


class Pager(Generic[T]):
    """Walks a list to its end, and asks for the next page only when it is needed.

    Each ``for`` starts anew.
    """

    def __init__(self, fetch: Callable[[str], Page[T]]) -> None:
        self._fetch = fetch

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def pages(self) -> Iterator[Sequence[T]]:
        """Yield the pages as the gateway cuts them. A page may be empty."""
        token = ""
        while True:
            items, token = self._fetch(token)
            yield items
            if not token:
                return


class AsyncPager(Generic[T]):
    """Walks a list to its end, and asks for the next page only when it is needed.

    Each ``async for`` starts anew.
    """

    def __init__(self, fetch: Callable[[str], Awaitable[Page[T]]]) -> None:
        self._fetch = fetch

    async def __aiter__(self) -> AsyncIterator[T]:
        async for page in self.pages():
            for item in page:
                yield item

    async def pages(self) -> AsyncIterator[Sequence[T]]:
        """Yield the pages as the gateway cuts them. A page may be empty."""
        token = ""
        while True:
            items, token = await self._fetch(token)
            yield items
            if not token:
                return
