"""Answers that are sent while they are made: events, lines, files."""
