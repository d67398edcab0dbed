"""Versions of ``signalbox.rollout``."""
