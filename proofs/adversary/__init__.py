"""Another user at work in a shared folder while a real task sends files from it.

``python -m proofs.adversary`` (as root: it acts as two ordinary users) has a task of one user watch a folder that a
second one may write. That one renames, links, exchanges, removes and replaces at random what is there, by a seed, and tries to have
a file read, sent, copied or overwritten that is not meant for it. See :mod:`.run` for what is checked.
"""
