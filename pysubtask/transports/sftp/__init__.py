"""SFTP: our own pipelined client, over the system's ssh or an asyncssh channel.

=======================  ================================================================================
``packets``              the packets of SFTP 3 as bytes, pure
``window``               how many bytes may be in flight, pure
``client``               many requests at once over a byte stream (the package ``ssh`` makes that stream)
``transfer``             the bytes of one file, as they are sent and acknowledged
``publish``              the order of a safe upload; ``swap`` where a server cannot rename over a file
``append``, ``patch``    growing a file in place; making a new version from parts of the old one
``attempt``, ``resume``  the steps that these share; the point from which a cut upload goes on, pure
``transport``            all of it behind the contract
=======================  ================================================================================
"""

from .transport import SFTPTransport

__all__ = ["SFTPTransport"]
