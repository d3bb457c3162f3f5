"""How a workspace, its datasets, runs and evaluations look in a notebook.

Every function returns HTML that needs nothing else: no script, nothing from the network, and
colours that read on light and on dark ground. What is shown is read from the workspace's files in
bounded amounts. No record is changed; a workspace's database is opened as everywhere else, which
turns write-ahead logging on and migrates what an earlier version has left.
"""
