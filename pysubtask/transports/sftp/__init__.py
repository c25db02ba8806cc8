"""SFTP: our own pipelined client, over the system's ssh or an asyncssh channel.

=======================  ================================================================================
``packets``              the words of SFTP 3 as bytes, pure
``window``               how much may be under way, pure
``stream``, ``client``   a byte stream; many requests at once over it
``publish``              the order of a safe upload; ``swap`` where a server cannot rename over a file
``append``, ``patch``    growing a file in place; making a new version from parts of the old one
``attempt``, ``resume``  the steps that these share; what is noted of an upload that may be cut, pure
``options``, ``verdict`` ssh's command line and what its last words mean, pure
``ssh``, ``askpass``     the ssh child process; the answer to its one question
``asyncssh_stream``      the same byte stream where there is no ssh program
``transport``            all of it behind the contract
=======================  ================================================================================
"""

from .transport import SFTPTransport

__all__ = ["SFTPTransport"]
