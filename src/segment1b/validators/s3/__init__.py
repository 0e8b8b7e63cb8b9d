"""Checks of S3."""
