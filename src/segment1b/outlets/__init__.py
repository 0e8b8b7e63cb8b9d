"""Outlet lists that people bring: read, checked row by row, issued as a 1A bundle."""
