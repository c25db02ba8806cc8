"""Tests of other people import the servers and relays by the modules that these were in before."""

from __future__ import annotations

from importlib import import_module

import pytest

SERVERS = ("dropbox", "ftp", "hostile_ftp", "hostile_sftp", "ports", "proftpd", "pureftpd", "quirk_ftp", "quirk_sftp", "quirks")
MORE = ("rclone", "sftp", "sshd", "vsftpd")
PLACES = {**dict.fromkeys((*SERVERS, *MORE), "servers"), **dict.fromkeys(("bad_link", "ftp_relay", "relay"), "link")}


@pytest.mark.parametrize("name", PLACES)
def test_a_module_has_what_it_had(name: str):
    new, former = import_module(f"pysubtask.testing.{PLACES[name]}.{name}"), import_module(f"pysubtask.testing.{name}")
    public = getattr(new, "__all__", None) or [each for each in vars(new) if not each.startswith("_") and each != "annotations"]
    assert public and all(getattr(former, each) is getattr(new, each) for each in public)
