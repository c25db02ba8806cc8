"""What ``pysubtask doctor`` looks at, in the order in which an upload meets it.

=====================  ====================================================================================
``finding``            what a check found, and what to do about it, pure
``causes``             from a transport's error to its cause and the remedy, pure
``source``             from a config, or from the tasks of this machine, to what is to be looked at
``local``, ``bbr``     this machine: folders, disk, limits, programs; the kernel's congestion control
``prepare``            what an SFTP login needs here: ssh, its configuration, key file, known_hosts
``network``            name, port, and what speaks there; ``certificate`` who it says it is
``remote`` (two)       the transports, with the few things more that a look at a server needs
``server``             what the server does with a small file
``examine``            all of it for one destination, within its time
``show``               for people, pure
=====================  ====================================================================================
"""
