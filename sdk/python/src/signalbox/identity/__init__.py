"""Versions of ``signalbox.identity``."""
