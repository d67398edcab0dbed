"""Versions of ``signalbox.audit``."""
