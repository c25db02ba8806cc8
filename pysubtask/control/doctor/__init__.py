"""The checks of ``pysubtask doctor``, in the order in which an upload meets their subjects.

=====================  ====================================================================================
``finding``            the result of a check, and the remedy, pure
``causes``             from the error of a login to the cause and the remedy, pure; ``ssh_causes``: of a login by ssh;
                       ``file_causes``: from the error of a file's upload
``source``             from a config, or from the tasks of this machine, to the destinations to examine
``local``, ``bbr``     this machine: clock, limits, programs; the kernel's congestion control
``watch_paths``        the watched files and folders; ``inotify``: the kernel's limits for them
``state_folder``       the folder of the queue, and the disk of the snapshots
``prepare``            ssh and its configuration, for an SFTP login; ``login_files``: the files that the config names
``network``            questions to names and ports; ``certificate``: to a server for its certificate
``endpoint_checks``    name, port and protocol of the server
``identity``           how the server was authenticated, or why it was not
``remote`` (five)      the transports, with the further operations that an examination needs
``server_checks``      uploads of small files (``probe``), and what the server does with them (``habits``)
``destination_folder`` the folder on the server
``examine``            all checks of one destination, within a time limit
``rounds``             all destinations
``show``               the findings as lines for people, pure
=====================  ====================================================================================
"""
