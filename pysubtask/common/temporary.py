"""Names that other programs give to files they have not finished, or keep for themselves. Pure.

An entry of a config file leaves such files out where they are only found, see ``default_exclude`` in :mod:`.entries`. The names
are those in the programs' own manuals and sources.
"""

from __future__ import annotations

PATTERNS: tuple[str, ...] = (
    # Transfers: browsers, wget and curl helpers, WinSCP, FileZilla, lftp, rclone, aria2, BitTorrent programs.
    "*.part",
    "*.partial",
    "*.filepart",
    "*.crdownload",
    "*.download",
    "*.opdownload",
    "*.aria2",
    "*.lftp-pget-status",
    "*.!ut",
    # rsync (also in its --partial-dir), ProFTPD's HiddenStores, pure-ftpd's uploads, this program's own.
    ".*.[A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9][A-Za-z0-9]",
    ".~tmp~/*",
    "*/.~tmp~/*",
    ".rsync-partial/*",
    "*/.rsync-partial/*",
    ".in.*.",
    ".pureftpd-upload.*",
    ".pysubtask-*.part",
    # Programs that write a new file and rename it.
    "*.tmp",
    "*.temp",
    "*.swp.new",
    ".goutputstream-*",
    ".~*.tmp",
    ".fuse_hidden*",
    ".nfs[0-9a-f]*",
    # Editors: Vim, Emacs, nano, Kate, gedit, LibreOffice, Microsoft Office.
    ".*.sw[a-p]",
    "4913",
    "?*~",
    ".#*",
    "#*#",
    ".*.kate-swp",
    ".~lock.*#",
    "~$*",
    # Programs that keep folders the same: Syncthing, Nextcloud and ownCloud, Dropbox.
    ".syncthing.*",
    "~syncthing~*",
    ".sync_*.db*",
    "._sync_*.db*",
    ".owncloudsync.log*",
    ".*.~[0-9a-f]*",
    ".dropbox*",
    # What SQLite keeps beside an open database: a program that opens the database there replays a copy of it.
    "?*.?*-wal",
    "?*.?*-shm",
    "?*.?*-journal",
    # What file managers leave.
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    ".DS_Store",
    "._*",
    ".directory",
    ".Trash-*/*",
)
"""Patterns as ``exclude`` takes them (:mod:`.globs`)."""


DATABASE_SIDES = ("-wal", "-shm", "-journal")
"""What a name in :data:`PATTERNS` that belongs to an SQLite database ends with."""


def database_of(name: str) -> str:
    """The database that a file of this name (or path) belongs to, as SQLite names what it keeps beside one; '' for any other."""
    return next((name[: -len(side)] for side in DATABASE_SIDES if name.endswith(side)), "")


def is_temporary(relative: str) -> bool:
    """Whether a file, by its path relative to the watched folder, has the name of another program's unfinished or own file."""
    from . import globs

    return globs.matches(PATTERNS, relative)
