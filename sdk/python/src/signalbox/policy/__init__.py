"""Versions of ``signalbox.policy``."""
