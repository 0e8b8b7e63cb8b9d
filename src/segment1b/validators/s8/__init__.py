"""Checks of S8."""
