"""What ``pysubtask doctor`` looks at, in the order in which an upload meets it.

=====================  ====================================================================================
``finding``            what a check found, and what to do about it, pure
``causes``             from a transport's error to its cause and the remedy, pure
``source``             from a config, or from the tasks of this machine, to what is to be looked at
``local``, ``bbr``     this machine: folders, disk, limits, programs; the kernel's congestion control
``prepare``            what an SFTP login needs here: ssh and its configuration; ``login_files`` the files the config names
``network``            name, port, and what speaks there; ``certificate`` who it says it is
``remote`` (three)     the transports, with the few things more that a look at a server needs
``server``             what the server does with a small file
``examine``            all of it for one destination, within its time
``show``               for people, pure
=====================  ====================================================================================
"""
