"""Widgets of the notebooks, one file each, around pure functions that draw without a running kernel."""
