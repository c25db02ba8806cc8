"""One file with paramiko, the library below pysftp, as a program: ``python -m benchmarks.with_paramiko SOURCE TARGET``.

The server is described, without a secret, in the environment variable BENCH_SERVER.
"""

from __future__ import annotations

import json
import os
import sys

import paramiko


def main() -> None:
    """Log in, put, leave."""
    there = json.loads(os.environ["BENCH_SERVER"])
    with paramiko.SSHClient() as client:
        client.load_host_keys(there["known_hosts"])
        client.connect(
            there["host"], there["port"], there["user"], key_filename=there["key_file"], allow_agent=False, look_for_keys=False
        )
        with client.open_sftp() as sftp:
            sftp.put(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
