"""What a test shares with the data that was trained on."""

from __future__ import annotations

from attrs import frozen


@frozen
class Match:
    """Two items that are not apart.

    Args:
        test_item: Id of the item of the test.
        train_item: Id of an item of the training data that is like it.
    """

    test_item: str
    train_item: str


@frozen
class Shared:
    """The items of a test that are found in the training data by one measure.

    Args:
        measure: ``exact``, ``ngram`` or ``same_work``, see :class:`Contamination`.
        compared: How many items of the test it can speak of.
        matches: Those that were found, in the order of the test.
    """

    measure: str
    compared: int
    matches: tuple[Match, ...]


@frozen
class Contamination:
    """What a test shares with training data, by three measures.

    ``exact``: the question is asked in the training data, white space, case, Unicode form and a
    label such as ``Question:`` aside. ``ngram``: thirteen words in a row of the question, signs
    aside, stand in a training item (Brown et al. 2020, "Language Models are Few-Shot Learners",
    appendix C); shorter questions are not compared. ``same_work``: the reference computes the same
    equations to the same answer, whatever their order and that of operands that may be swapped; of
    work without equations, its lines are compared.

    Args:
        train: Key of the training data.
        test: Key of the test.
        train_sha256: Hash of the former.
        test_sha256: Hash of the latter.
        n_items: Items of the test.
        shared: What was found, by measure.
    """

    train: str
    test: str
    train_sha256: str
    test_sha256: str
    n_items: int
    shared: tuple[Shared, ...]

    def by(self, measure: str) -> Shared:
        """What one measure found.

        Raises:
            KeyError: There is no such measure.
        """
        found = {shared.measure: shared for shared in self.shared}
        return found[measure]

    @property
    def counts(self) -> dict[str, int]:
        """How many items of the test each measure found."""
        return {shared.measure: len(shared.matches) for shared in self.shared}

    def items(self, *measures: str) -> frozenset[str]:
        """Ids of the items of the test that any of these measures found."""
        return frozenset(m.test_item for name in measures for m in self.by(name).matches)
