"""Reasons of ``signalbox.error.v1``."""

from .._gen.signalbox.error.v1.reason_pb import Reason

__all__ = [
    "Reason",
]
