"""What ``pysubtask selftest`` is made of: the user's own settings, made-up data, and a link that is cut on purpose.

===========  ==========================================================================================
``feed``     the made-up data, which can be told from its beginning at any length, pure
``trouble``  when what goes wrong, pure
``link``     the relay in between, and the settings that lead through it
``ftp_link`` the same for FTP, whose data connections have ports of their own
``reader``   who reads on the server meanwhile, and what is there at the end
``run``      all of it together, and cleaned up
``report``   what came of it, pure
===========  ==========================================================================================
"""
