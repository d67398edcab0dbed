"""Versions of ``signalbox.error``."""
