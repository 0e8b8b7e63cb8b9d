"""Checks of S7."""
