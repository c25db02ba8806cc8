"""SFTP through the library pysftp, for those who ask for it by name (``SFTPLibrary = 'pysftp'``).

``transport`` keeps the contract and loads nothing; ``connection`` is pysftp's connection with what it lacks, loaded by
the first connect.
"""

from .transport import PySFTPTransport

__all__ = ["PySFTPTransport"]
