"""Outlet lists that people bring: read, judged row by row, and handed over like 1A's."""
