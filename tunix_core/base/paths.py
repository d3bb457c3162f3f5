"""Where things lie in a workspace; no path built here leaves it."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

from tunix_core.errors import UsageError


def confined(root: Path, *parts: str) -> Path:
    """Join ``parts`` below ``root``, symbolic links resolved.

    Raises:
        UsageError: The result would lie outside ``root``.
    """
    resolved_root = root.resolve()
    path = resolved_root.joinpath(*parts).resolve()
    if path == resolved_root or not path.is_relative_to(resolved_root):
        raise UsageError(f"{'/'.join(parts)!r} leaves {root.name}/")
    return path


@frozen
class WorkspacePaths:
    """The directories of a workspace.

    Args:
        root: The workspace directory.
        registries: Directory of the model registries; ``models`` below ``root`` by default.
    """

    root: Path
    registries: Path | None = None

    @classmethod
    def create(cls, root: Path, registries: Path | None = None) -> WorkspacePaths:
        """Make the directories as needed."""
        paths = cls(root.resolve(), registries and registries.resolve())
        for directory in (paths.datasets, paths.runs, paths.models):
            directory.mkdir(parents=True, exist_ok=True)
        return paths

    @property
    def database(self) -> Path:
        return self.root / "tunix.db"

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def models(self) -> Path:
        return self.registries or self.root / "models"

    @property
    def cache(self) -> Path:
        """What may be removed at any time; made when there is something."""
        return self.root / "cache"

    def cache_of(self, full_name: str) -> Path:
        """The part of a plugin's contribution in it."""
        return self.cache / full_name.replace("/", ".")

    @property
    def pairwise(self) -> Path:
        """Comparisons of two runs by a judge; made when there is one."""
        return self.root / "pairwise"

    @property
    def outputs(self) -> Path:
        """Links to runs by the names that clients gave them; made when there is one."""
        return self.root / "outputs"

    def dataset(self, dataset_key: str) -> Path:
        return confined(self.datasets, dataset_key)

    def run(self, run_id: str) -> Path:
        return confined(self.runs, run_id)
