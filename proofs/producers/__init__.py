"""Programs of all kinds at work in watched folders, while a reader reads on the server.

::

    python -m proofs.producers --seconds 600 --seed 1                 # over SFTP
    python -m proofs.producers --seconds 600 --seed 2 --server ftp
    python -m proofs.producers --seconds 600 --seed 3 --link bad --kills

Loggers, cameras, editors, rotations, transfers by other programs, each as real programs do it, write the files of two tasks: one
of a config file (``pysubtask run``) and one of a :class:`pysubtask.TaskMaster`, which is notified. A model keeps each version that
was whole under a name; what a reader finds on the server must be one of these, or a true beginning of a file that grows, and
never an older one again. In the end it must be the last one, and no temporary name of any program may be there. See :mod:`.run`.
"""
