"""Torture: a real app, its real child and a real OpenSSH server, broken at random and by plan; what came out is printed.

::

    python -m proofs.torture --minutes 15 --seed 1     # random kills, then every fault once
    python -m proofs.torture --only disk               # the faults with this word alone
    python -m proofs.torture --list

The seed decides the sequence of faults and the pauses between them, not what the system's scheduler makes of it. Linux,
with openssh-server and openssh-client; some faults need root, which the table says. Everything happens on 127.0.0.1 and
in a folder that is removed at the end.
"""
