"""Never imported: its requirements say that it does not go with this core."""

raise AssertionError("imported all the same")
