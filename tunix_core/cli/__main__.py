"""``python -m tunix_core.cli`` is ``tunix-rt``."""

from tunix_core.cli import main

if __name__ == "__main__":
    main()
