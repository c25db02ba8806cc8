"""The checks of ``pysubtask doctor``, in the order in which an upload meets their subjects.

=====================  ====================================================================================
``finding``            the result of a check, and the remedy, pure
``causes``             from a transport's error to the cause and the remedy, pure
``source``             from a config, or from the tasks of this machine, to the destinations to examine
``local``, ``bbr``     this machine: folders, disk, limits, programs; the kernel's congestion control
``prepare``            ssh and its configuration, for an SFTP login; ``login_files``: the files that the config names
``network``            name, port and protocol of the server; ``certificate``: its certificate
``identity``           how the server was authenticated, or why it was not
``remote`` (three)     the transports, with the further operations that an examination needs
``server``, ``habits`` uploads of small files, and what the server does with them
``examine``            all checks of one destination, within a time limit
``rounds``             all destinations
``show``               the findings as lines for people, pure
=====================  ====================================================================================
"""
