"""SFTP through the library pysftp, for configs that name it (``SFTPLibrary = 'pysftp'``).

``transport`` keeps the contract and loads nothing; ``connection`` is pysftp's connection with what pysftp lacks, loaded by the
first connect.
"""

from .transport import PySFTPTransport

__all__ = ["PySFTPTransport"]
