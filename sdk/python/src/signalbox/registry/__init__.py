"""Versions of ``signalbox.registry``."""
