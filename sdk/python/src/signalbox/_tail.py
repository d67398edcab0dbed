"""Reading a stream so that the reader can leave while it waits."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import TypeVar

import pyqwest

T = TypeVar("T")

_READ_AHEAD = 16


class LeavingTransport:
    """Passes requests on, and closes the response of the last one when told to leave."""

    def __init__(self, inner: pyqwest.SyncTransport) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self._response: pyqwest.SyncResponse | None = None
        self._left = False

    def execute_sync(self, request: pyqwest.SyncRequest) -> pyqwest.SyncResponse:
        response = self._inner.execute_sync(request)
        with self._lock:
            self._response = response
            left = self._left
        if left:
            response.close()
        return response

    def leave(self) -> None:
        """Close the response, now or as soon as it comes."""
        with self._lock:
            self._left = True
            response = self._response
        if response is not None:
            response.close()


def read_in_thread(stream: Iterable[T], leave: Callable[[], None]) -> Generator[T, None, None]:
    """Yield what the stream yields, reading it in a thread.

    The HTTP client waits outside Python, where no KeyboardInterrupt reaches it; waiting
    for a queue can be interrupted. ``leave`` must make a waiting read end.
    """
    # Unbounded, so that the end always fits; the items themselves take a slot each.
    results: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    slots = threading.Semaphore(_READ_AHEAD)
    left = threading.Event()

    def read() -> None:
        try:
            for item in stream:
                slots.acquire()
                if left.is_set():
                    return
                results.put((item,))
        except BaseException as err:  # raised again by the reader
            results.put(err)
        else:
            results.put(None)

    # A daemon: a gateway that never sends its headers must not keep the program from ending.
    threading.Thread(target=read, name="signalbox-stream", daemon=True).start()
    try:
        while (result := results.get()) is not None:
            if isinstance(result, BaseException):
                raise result
            slots.release()
            yield result[0]
    finally:
        left.set()
        slots.release()
        leave()
