"""What every registry must do; subclass :class:`RegistryConformance` in your tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tunix_core.errors import IntegrityError, NotFoundError, TunixError
from tunix_core.protocols import Registry


class RegistryConformance:
    """The contract of a registry: addressed by content, immutable, verified on the way out.

    Example::

        class TestMine(RegistryConformance):
            def make(self, directory):
                return MyRegistry(directory)
    """

    def make(self, directory: Path) -> Registry:
        """A registry that uses ``directory``; called twice for one directory, it is reopened."""
        raise NotImplementedError

    @pytest.fixture
    def registry(self, tmp_path: Path) -> Registry:
        return self.make(tmp_path / "registry")

    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        """A file tree with a folder, an empty file and bytes of every value."""
        root = tmp_path / "model"
        (root / "folder" / "deeper").mkdir(parents=True)
        (root / "weights.bin").write_bytes(bytes(range(256)) * 64)
        (root / "folder" / "config é.json").write_text("{}", encoding="utf-8")
        (root / "folder" / "deeper" / "empty").touch()
        return root

    def test_is_a_registry(self, registry: Registry) -> None:
        assert isinstance(registry, Registry)

    def test_gives_back_what_was_put(self, registry: Registry, model: Path) -> None:
        stored = registry.put(model)
        assert _content(registry.get(stored.sha256)) == _content(model)
        assert stored.size_bytes == 256 * 64 + 2

    def test_the_same_content_has_the_same_address(
        self, registry: Registry, model: Path, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        shutil.copytree(model, elsewhere)
        assert registry.put(model) == registry.put(elsewhere) == registry.put(model)

    def test_any_change_has_another_address(self, registry: Registry, model: Path) -> None:
        seen = {registry.put(model).sha256}
        (model / "weights.bin").write_bytes(b"\1" + bytes(range(1, 256)) + bytes(range(256)) * 63)
        seen.add(registry.put(model).sha256)
        (model / "weights.bin").rename(model / "renamed.bin")
        seen.add(registry.put(model).sha256)
        (model / "folder" / "deeper" / "empty").unlink()
        seen.add(registry.put(model).sha256)
        assert len(seen) == 4

    def test_a_later_change_of_the_source_changes_nothing(
        self, registry: Registry, model: Path
    ) -> None:
        before = _content(model)
        stored = registry.put(model)
        (model / "weights.bin").write_bytes(b"other")
        assert _content(registry.get(stored.sha256)) == before

    def test_a_new_instance_finds_what_another_put(
        self, registry: Registry, model: Path, tmp_path: Path
    ) -> None:
        stored = registry.put(model)
        assert _content(self.make(tmp_path / "registry").get(stored.sha256)) == _content(model)

    def test_damage_is_noticed(self, registry: Registry, model: Path) -> None:
        stored = registry.put(model)
        file = registry.get(stored.sha256) / "weights.bin"
        file.chmod(0o644)
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
        with pytest.raises(IntegrityError):
            registry.get(stored.sha256)

    def test_a_file_that_was_added_or_removed_is_noticed(
        self, registry: Registry, model: Path
    ) -> None:
        stored = registry.put(model)
        path = registry.get(stored.sha256)
        path.chmod(0o755)
        (path / "extra").touch()
        with pytest.raises(IntegrityError):
            registry.get(stored.sha256)
        (path / "extra").unlink()
        registry.get(stored.sha256)
        (path / "weights.bin").unlink()
        with pytest.raises(IntegrityError):
            registry.get(stored.sha256)

    @pytest.mark.parametrize("sha256", ["0" * 64, "", "..", "../model", "a/b"])
    def test_an_unknown_address_is_refused(self, registry: Registry, sha256: str) -> None:
        with pytest.raises(NotFoundError):
            registry.get(sha256)

    def test_an_empty_tree_is_refused(self, registry: Registry, tmp_path: Path) -> None:
        (tmp_path / "nothing").mkdir()
        with pytest.raises(TunixError):
            registry.put(tmp_path / "nothing")

    def test_a_symbolic_link_is_refused(
        self, registry: Registry, model: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "secret").write_text("secret")
        (model / "link").symlink_to(tmp_path / "secret")
        with pytest.raises(TunixError):
            registry.put(model)


def _content(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
