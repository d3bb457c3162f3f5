"""How a workspace, its datasets, runs and evaluations look in a notebook.

Every function returns HTML that needs nothing else: no script, nothing from the network, and
colours that read on light and on dark ground. What is shown is read from the workspace's files in
bounded amounts; only the work behind an evaluation is read whole, to check that it is what was
judged. No record is changed; a workspace's database is opened as everywhere else, which turns
write-ahead logging on and migrates what an earlier version has left.
"""
