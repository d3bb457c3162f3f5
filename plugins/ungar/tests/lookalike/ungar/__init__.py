"""Looks to its users like the ungar package."""
