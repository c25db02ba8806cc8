"""FTP and FTPS: the standard library's ftplib in threads.

======================  ==============================================================================
``options``             settings, names and folders, pure
``replies``             how replies are read, pure
``server_features``     what is known of a server, and errors of data connections
``sockets``, ``tls``    sockets with time limits; certificates and pins
``control_connection``  one control connection, and how data connections are opened
``data``                bytes over a data connection
``transfers``           which data connection and which TLS session, and how a transfer ended
``session``             a login, and the commands that the transport needs
``attempt``             the state of one upload; ``broken_transfers`` where its data connection broke
``publish``             the order of a safe upload; ``swap`` where a server cannot rename over a file
``temps``               temporary names and files
``vanished``            temporary files that something on the server removed
``arrival``             settled sizes; ``name_checks`` finds altered names, ``checksum`` compares hashes
``folders``, ``links``  missing folders; symbolic links on the server
``in_place``            files stored under their final names
``restart``             transfers that begin in the middle of a file, and the proof that a server can do so
``append``              new bytes behind the server's file
``pool``                several sessions, in threads, awaited
``transport``           the contract of a transport, built from all of these
======================  ==============================================================================
"""

from .transport import FTPTransport

__all__ = ["FTPTransport"]
