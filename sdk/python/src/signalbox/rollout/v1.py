"""Messages of ``signalbox.rollout.v1``."""

from .._gen.signalbox.rollout.v1.rollout_pb import Rollout, UnconfirmedReplica

__all__ = ["Rollout", "UnconfirmedReplica"]
