"""Following a replay of recorded decisions to its report."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing

from protobuf import Oneof

from .errors import SignalboxError
from .policy.v1 import Replay, ReplayPolicyResponse, ReplayProgress


class PolicyReplay:
    """A replay at work.

    Loop over it to follow how far it has come, and take its report at the end; or take
    the report alone, which waits for it. The replay begins with the loop, or when the
    report is asked for. Who leaves without a report closes it.
    """

    def __init__(self, responses: Generator[ReplayPolicyResponse, None, None]) -> None:
        self._report: Replay | None = None
        self._progress = self._read(responses)

    def __iter__(self) -> Iterator[ReplayProgress]:
        """Yield how far the replay has come, each time that the gateway says it."""
        return self._progress

    def report(self) -> Replay:
        """Return what the recorded decisions would have come to."""
        for _ in self:
            pass
        return _complete(self._report)

    def close(self) -> None:
        """End the replay. There is no report then, unless it has come."""
        self._progress.close()

    def _read(
        self, responses: Generator[ReplayPolicyResponse, None, None]
    ) -> Generator[ReplayProgress, None, None]:
        with closing(responses):
            for response in responses:
                match response.step:
                    case Oneof(value=ReplayProgress() as progress):
                        yield progress
                    case Oneof(value=Replay() as report):
                        self._report = report


class AsyncPolicyReplay:
    """A replay at work, as :class:`PolicyReplay`."""

    def __init__(self, responses: AsyncGenerator[ReplayPolicyResponse, None]) -> None:
        self._report: Replay | None = None
        self._progress = self._read(responses)

    def __aiter__(self) -> AsyncIterator[ReplayProgress]:
        """Yield how far the replay has come, each time that the gateway says it."""
        return self._progress

    async def report(self) -> Replay:
        """Return what the recorded decisions would have come to."""
        async for _ in self:
            pass
        return _complete(self._report)

    async def aclose(self) -> None:
        """End the replay. There is no report then, unless it has come."""
        await self._progress.aclose()

    async def _read(
        self, responses: AsyncGenerator[ReplayPolicyResponse, None]
    ) -> AsyncGenerator[ReplayProgress, None]:
        async with aclosing(responses):
            async for response in responses:
                match response.step:
                    case Oneof(value=ReplayProgress() as progress):
                        yield progress
                    case Oneof(value=Replay() as report):
                        self._report = report


def _complete(report: Replay | None) -> Replay:
    if report is None:
        raise SignalboxError("the replay ended without a report", code="data_loss")
    return report
