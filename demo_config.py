"""Settings of demo.py; each one with its meaning, default and range stands in pysubtask/defaults_config.py."""

from pysubtask import Section

ftp = Section("Uploads to an SFTP server")
# The server's name or address. Empty: demo.py runs a small SFTP server of its own, and nothing below is needed.
ftp.Host = ""
ftp.HostPort = -1  # -1 is SFTP's own, 22
ftp.User = ""
# A private key such as '~/.ssh/id_ed25519'. None leaves the choice to ssh: its agent, your ~/.ssh/config.
ftp.KeyFile = None
# Only where the server takes no key. Then let nobody else read this file: chmod 600 demo_config.py
ftp.Password = None
# 'strict' takes only a server that is in your known_hosts (log in once with ssh or sftp);
# 'accept-new' also takes and remembers one that was never seen before.
ftp.HostKeyPolicy = "strict"
# Folder on the server, made where it is missing. Empty: where a login starts.
ftp.HostSFTPPath = ""
# After so many milliseconds without a notify the connection is closed; the next notify opens it again.
ftp.DeadTimeMilli = 40000

# On as soon as both are filled in; then, while ftp.Host is empty, uploads go to Dropbox alone (ftp.UseFTP = True: to both).
# Run  python -m pysubtask.dropbox --login  and put the two lines it prints here. Then let nobody else read this file: chmod 600
dropbox = Section("Uploads to Dropbox")
dropbox.AppKey = ""
dropbox.RefreshToken = None
# Folder in Dropbox, made where it is missing. Empty: the app's own folder.
dropbox.HostPath = ""
