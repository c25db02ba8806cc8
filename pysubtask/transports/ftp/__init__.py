"""FTP and FTPS: the standard library's ftplib in threads.

======================  ==============================================================================
``options``             settings, names and folders, pure
``replies``             what a server's replies mean, pure
``tls``                 who the server is
``wire``, ``data``      one control connection; bytes over a data connection, with time limits
``session``             a login, and the commands that the transport needs
``publish``             the order of a safe upload; ``swap`` where a server cannot rename over a file
``restart``             transfers that begin in the middle of a file, and whether a server means it
``append``              new bytes behind a file that is there
``pool``                several sessions, in threads, awaited
``transport``           all of it behind the contract
======================  ==============================================================================
"""

from .transport import FTPTransport

__all__ = ["FTPTransport"]
