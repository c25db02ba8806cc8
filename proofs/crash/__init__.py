"""Every crash point: a child that is killed before each durable step of its work, and before each pair of them.

The child is the real one (watch, snapshot, spool, plan, retry, dispatcher, the clients of SFTP, FTP and Dropbox), on one
thread, under a clock that jumps over waits; the server is a model on a folder, inside the child's process, so that each run takes
the same steps in the same order. A kill is a real end of the process; what it wrote stays, as after kill -9. What power loss does
is another question, see ``docs/torture.md``.

    python -m proofs.crash --pairs
"""
