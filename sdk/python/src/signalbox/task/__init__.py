"""Versions of ``signalbox.task``."""
