"""Conformance suites: subclass one in your plugin's tests, and pytest runs the contract.

One module per kind of contribution: :mod:`~tunix_core.testing.generator`,
:mod:`~tunix_core.testing.source`, :mod:`~tunix_core.testing.trainer`,
:mod:`~tunix_core.testing.evaluator`, :mod:`~tunix_core.testing.comparator`,
:mod:`~tunix_core.testing.registry`, :mod:`~tunix_core.testing.tuner` and
:mod:`~tunix_core.testing.game`. They need pytest and nothing else.
"""
