"""What people import, by the names of version 1 and the present ones."""

import importlib
from importlib import metadata

import pytest

import pysubtask
from pysubtask.common import errors


def test_every_public_name_can_be_had_and_is_listed():
    for name in pysubtask.__all__:
        assert getattr(pysubtask, name) is not None
        assert name in dir(pysubtask)
    assert len(set(pysubtask.__all__)) == len(pysubtask.__all__)
    assert not hasattr(pysubtask, "no_such_name")
    namespace: dict[str, object] = {}
    exec("from pysubtask import *", namespace)
    assert set(pysubtask.__all__) <= set(namespace)


def test_every_error_is_public():
    raised = {name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, Exception)}
    assert raised <= set(pysubtask.__all__)


def test_aliases_are_the_same_class():
    base, ftp, dropbox = (importlib.import_module(f"pysubtask.{name}") for name in ("base", "ftp", "dropbox"))
    assert pysubtask.BaseMaster is pysubtask.BaseTaskMaster is base.BaseMaster is base.BaseTaskMaster
    assert pysubtask.FTPTaskMaster is ftp.FTPTaskMaster
    assert pysubtask.DropboxTaskMaster is dropbox.DropboxTaskMaster
    assert pysubtask.DropboxSubtask is dropbox.DropboxSubtask
    assert issubclass(dropbox.DropboxSubtask, base.BaseSubtask)
    assert (dropbox.DropboxSubtask.__name__, dropbox.DropboxSubtask.transport) == ("DropboxSubtask", "dropbox")
    assert pysubtask.BaseSubtask is base.BaseSubtask
    assert pysubtask.FTPSubtask is ftp.FTPSubtask
    assert issubclass(ftp.FTPSubtask, base.BaseSubtask)
    assert ftp.FTPSubtask.__name__ == "FTPSubtask"
    assert importlib.import_module("pysubtask._config").Struct is pysubtask.Section


def test_errors_keep_their_kinds():
    assert issubclass(pysubtask.ConfigError, ValueError)
    for name in ("TransportLost", "FileRefused", "LoginRefused"):
        assert issubclass(getattr(pysubtask, name), pysubtask.TransportError)


@pytest.mark.parametrize("door", ["base", "ftp", "dropbox"])
def test_doors_have_what_they_promise_and_nothing_else(door):
    module = importlib.import_module(f"pysubtask.{door}")
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert callable(module.main)
    assert not hasattr(module, "no_such_name")


def test_functions_of_the_base_door(tmp_path):
    from pysubtask.base import notify_file, setup_logging, touch

    data = tmp_path / "a.csv"
    notify_file(data)
    touch(str(tmp_path / "b"))
    first = (tmp_path / "a.csv.notify").stat().st_mtime_ns
    notify_file(str(data))
    assert (tmp_path / "a.csv.notify").stat().st_mtime_ns > first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv.notify", "b"]
    setup_logging("base.Test.1", str(tmp_path / "log.txt"), False).info("yes")
    assert "yes" in (tmp_path / "log.txt").read_text()


def test_version():
    assert pysubtask.__version__ == metadata.version("pysubtask")
