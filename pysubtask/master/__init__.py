"""The part that runs in the app of the user: standard library only, no threads, never waits on the network.

Modules here and in ``common`` that make a NamedTuple do not postpone their annotations: typing would
compile each of them again, which is a tenth of the time of the import.
"""
