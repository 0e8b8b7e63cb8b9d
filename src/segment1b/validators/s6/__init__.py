"""Checks of S6."""
