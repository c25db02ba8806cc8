"""The parts of ``pysubtask selftest``, which uploads generated data with the user's own settings over a link that it disturbs.

===========  ==========================================================================================
``feed``     the generated data, whose content follows from a seed, pure
``trouble``  the schedule of the troubles, pure
``link``     the relay between child and server, and the settings that lead through it
``ftp_link`` the relay for FTP, whose data connections have ports of their own
``reader``   reads the files on the server during the test and at its end
``run``      the whole test, and its cleaning
``report``   the result, pure
===========  ==========================================================================================
"""
