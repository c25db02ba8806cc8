"""Which children a config asks for; every mistake is one error before anything starts."""

import os
import subprocess
import sys
import types

import pytest

from pysubtask import BaseMaster, ConfigError, DropboxTaskMaster, FTPTaskMaster, Section, TaskMaster, defaults_config
from pysubtask.common.config import values_of
from pysubtask.master.child_config import own_module, plan

BAD_NAMES = ("", " ", ".", "..", "a/b", "\\", "x" * 101)
BAD_PROXIES = (
    "proxy:3128",
    "socks5://h:1",
    "http://",
    "http://geheim:geheim@",
    "http://h:x",
    "http://h:0",
    "http://h/path",
    "http://h h:1",
    "http://h:1\n",
    " ",
)
FILES = [{"file": "a.csv"}]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("base", "ftp", "dropbox", "burst_mode"):
        section = getattr(defaults_config, name)
        monkeypatch.setattr(defaults_config, name, Section("", **values_of(section)))
    return tmp_path


def settings_of(**values):
    return plan("ftp", "pysubtask.ftp", {"ftp": values}, "/x").settings


@pytest.mark.slow
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ftp://web1234@host:2121/public_html", (False, None, "web1234", "host", 2121, "public_html")),
        ("sftp://pi@Roof//srv/in", (True, None, "pi", "Roof", -1, "/srv/in")),
        ("ftps://h", (False, "explicit", "", "h", -1, "")),
        ("ftps://h:990/x", (False, "implicit", "", "h", 990, "x")),
        ("pi@h:in", (True, None, "pi", "h", -1, "in")),
        ("h", (True, None, "", "h", -1, "")),
    ],
)
def test_a_host_may_be_an_address(address, expected):
    found = settings_of(Host=address)
    assert tuple(found[key] for key in ("UseSFTP", "UseTLS", "User", "Host", "HostPort", "HostPath")) == expected
    with TaskMaster(FILES, {"ftp": {"Host": address}}, LogToConsole=False) as master:
        assert [one.extension for one in plans(master)] == ["ftp"], "it switches the destination on as a bare host does"


def test_what_an_address_omits_comes_from_the_other_settings():
    found = settings_of(Host="ftp://h", User="u", HostPort=2121, HostPath="in", Password="geheim")
    assert (found["UseSFTP"], found["User"], found["HostPort"], found["HostPath"]) == (False, "u", 2121, "in")
    # The same setting twice is no contradiction; nor is an empty one.
    found = settings_of(Host="ftp://u@h:21/in", User="u", HostPort=21, HostFTPPath="in/", UseSFTP=False, UseTLS=None)
    assert (found["User"], found["HostPort"], found["HostPath"]) == ("u", 21, "in")
    found = settings_of(Host="sftp://u@h:22/in", User="", HostPort=-1, HostPath="", HostFTPPath="elsewhere")
    assert (found["User"], found["HostPort"], found["HostPath"]) == ("u", 22, "in")
    assert settings_of(Host="ftps://h/in", UseTLS="implicit")["UseTLS"] == "implicit", "which of the two TLS it is"


def test_a_default_of_the_whole_program_counts_as_set():
    defaults_config.ftp.User = "station7"
    assert settings_of(Host="ftp://h")["User"] == "station7"
    with pytest.raises(ConfigError, match=r"^ftp\.User: 'station7' contradicts ftp\.Host, which says 'pi'"):
        settings_of(Host="ftp://pi@h")


@pytest.mark.parametrize(
    ("key", "value"),
    [("UseSFTP", True), ("User", "me"), ("HostPort", 21), ("HostPath", "in"), ("HostFTPPath", "in"), ("UseTLS", "explicit")],
)
def test_a_contradiction_names_both(key, value):
    with pytest.raises(ConfigError, match=rf"^ftp\.{key}: .* contradicts ftp\.Host") as raised:
        settings_of(Host="ftp://web1234@h:2121/public_html", **{key: value})
    assert raised.value.remedy


def test_a_password_in_an_address_is_refused_and_never_repeated():
    for address in ("ftp://u:geheim@h/x", "u:geheim@h:x", "ftp://u:geheim/@h"):
        section = Section(Host=address)
        assert "geheim" not in repr(section) and "h" in repr(section)
        with pytest.raises(ConfigError, match=r"^ftp\.Host: it has a password in it.*PasswordFile") as raised:
            TaskMaster(FILES, {"ftp": section})
        assert "geheim" not in str(raised.value)
    assert "u@h" in repr(Section(Host="ftp://u@h/x"))


def plans(master):
    return [managed.plan for managed in master._supervisor.children]


def ftp(**values):
    return {"ftp": {"Host": "h", **values}}


def box(**values):
    return {"dropbox": {"AppKey": "k", "RefreshToken": "geheim", **values}}


def test_ftp_is_on_when_a_host_is_set(folder):
    (plan,) = plans(TaskMaster(FILES, ftp(HostPort=2222)))
    assert (plan.extension, plan.module, plan.child_name) == ("ftp", "pysubtask.ftp", "FTPSubtask")
    assert plan.settings["HostPort"] == 2222
    assert plan.state_dir == str(folder / ".pysubtask/main/ftp")
    assert plan.bak_dir == str(folder / "upload/ftp")
    assert plan.burst["expire_milli"] == 5000
    assert os.listdir(folder) == ["logs"]
    assert os.listdir("logs") == ["ftp_taskmaster.log.txt"]


def test_module_object_mapping_and_version_1_file_are_configs():
    module = types.ModuleType("demo_config")
    text = "from pysubtask._config import Struct as Section\nimport os\nDEBUG = True\n"
    exec(text + "ftp = Section('my server')\nftp.Host = 'h'\nftp.UseFTP = True\nbase = Section('b', TaskName='t')", vars(module))
    before = dict(vars(module.ftp))
    for config in (module, types.SimpleNamespace(ftp=module.ftp, base={"TaskName": "t"}, other=3), Section("", ftp=module.ftp)):
        (plan,) = plans(TaskMaster(FILES, config))
        assert plan.settings["Host"] == "h"
    assert vars(module.ftp) == before


def test_assigning_to_the_defaults_works():
    defaults_config.ftp.Host = "from.defaults"
    defaults_config.burst_mode.expire_milli = 1
    (plan,) = plans(TaskMaster(FILES, {}))
    assert (plan.settings["Host"], plan.burst["expire_milli"]) == ("from.defaults", 1)
    with pytest.raises(ConfigError, match=r"ftp\.UseFTP"):
        TaskMaster(FILES, {"ftp": {"UseFTP": False}})


def test_state_and_snapshots_are_beside_the_first_entry(folder):
    config = {"base": {"TaskName": "night run"}, **ftp(BakToFolder="/var/x/../bak")}
    (plan,) = plans(TaskMaster([{"dir": "photos"}, {"file": "a.csv"}], config))
    assert plan.state_dir == str(folder / "photos/.pysubtask/night run/ftp")
    assert plan.bak_dir == "/var/bak"
    (plan,) = plans(TaskMaster(FILES, ftp(BakToFolder=None)))
    assert plan.bak_dir is None


@pytest.mark.parametrize(
    ("config", "key", "remedy"),
    [
        ({}, "ftp.UseFTP", "ftp.Host"),
        (ftp(UseFTP=False), "ftp.UseFTP", "True"),
        ({"ftp": {"UseFTP": True}}, "ftp.Host", "name or address"),
        (ftp(UseTLS="explicit"), "ftp.UseTLS", "UseSFTP = False"),
        (ftp(TLSFingerprint="AA"), "ftp.TLSFingerprint", "UseSFTP = False"),
        (ftp(StoreInPlace=True, SFTPLibrary="pysftp"), "ftp.StoreInPlace", "SFTPLibrary = None"),
        (ftp(UseSFTP=False, SFTPLibrary="pysftp"), "ftp.SFTPLibrary", "UseSFTP = True"),
        (ftp(SFTPLibrary="paramiko"), "ftp.SFTPLibrary", "pysftp"),
        (ftp(SFTPLibrary="pysftp", SSHConfigFile="~/.ssh/config"), "ftp.SSHConfigFile", "SFTPLibrary = None"),
        (ftp(UseSFTP=False, UseTLS="yes"), "ftp.UseTLS", "'implicit'"),
        (ftp(UseSFTP=False, KeyFile="id"), "ftp.KeyFile", "UseSFTP = True"),
        (ftp(UseSFTP=False, UseTLS="explicit", HostKey="SHA256:x"), "ftp.HostKey", "TLSFingerprint"),
        (ftp(UseSFTP=False, CAFile="ca.pem"), "ftp.CAFile", "'explicit'"),
        (ftp(UseSFTP=False, Host=""), "ftp.UseFTP", "ftp.Host"),
        (ftp(Host="-oProxyCommand=x"), "ftp.Host", "name or address"),
        (ftp(Host="me@host"), "ftp.Host", "ftp.User"),
        (ftp(Host="https://host"), "ftp.Host", "sftp://user@host"),
        (ftp(Host="a b"), "ftp.Host", "alone"),
        (ftp(Host="a\n"), "ftp.Host", "alone"),
        (ftp(User="-l"), "ftp.User", "login name"),
        (ftp(HostPort=0), "ftp.HostPort", "1 to 65535"),
        (ftp(BakToFolder=" "), "ftp.BakToFolder", "None"),
        (ftp(Pasword="geheim"), "ftp.Pasword", "'Password'"),
        ({}, "ftp.UseFTP", "pysubtask.dropbox --login"),
        ({"dropbox": {"AccessToken": "****************"}}, "ftp.UseFTP", "--login"),
        ({"dropbox": {"UseDropbox": True}, **ftp()}, "dropbox.RefreshToken", "--login"),
        ({"dropbox": {"UseDropbox": True, "AccessToken": "****"}}, "dropbox.RefreshToken", "--login"),
        (box(AppKey=""), "dropbox.AppKey", "--login"),
        (box(RefreshTokenFile="file"), "dropbox.RefreshTokenFile", "None"),
        (box(RefreshToken=None, RefreshTokenFile="~/no such file"), "dropbox.RefreshTokenFile", "--login --store /"),
        (box(RefreshToken="geheim\n"), "dropbox.RefreshToken", "once more"),
        (box(RefreshToken=None, AccessToken="ge geheim"), "dropbox.AccessToken", "once more"),
        (box(CAFile="ca.pem"), "dropbox.CAFile", "None"),
        *[(box(HostPath=path), "dropbox.HostPath", "'incoming/") for path in ("a\\b", "../a", "a/..", "/./a")],
        *[(box(Proxy=url), "dropbox.Proxy", "'http://host:port'") for url in BAD_PROXIES],
        (box(ChunkBytes=65535), "dropbox.ChunkBytes", "bytes"),
        (box(Connections=33), "dropbox.Connections", "32"),
        ({"ftpp": {}, **ftp()}, "config.ftpp", "'ftp'"),
        (types.SimpleNamespace(fpt=Section("", Host="h")), "config.fpt", "'ftp'"),
        (None, "config", "sections base"),
        ("demo_config.py", "config", "sections base"),
        *[({"base": {"TaskName": name}, **ftp()}, "base.TaskName", "'main'") for name in BAD_NAMES],
        ({"burst_mode": {"expire_milli": -1}, **ftp()}, "burst_mode.expire_milli", "milliseconds"),
    ],
)
def test_mistakes_are_named_with_their_remedy(folder, config, key, remedy):
    with pytest.raises(ConfigError) as error:
        TaskMaster(FILES, config)
    assert error.value.key == key
    assert remedy in error.value.remedy
    assert "geheim" not in str(error.value)
    assert os.listdir(folder) == []


def test_uploader_without_entries(folder):
    for make in (TaskMaster, FTPTaskMaster, lambda entries, config: BaseMaster(entries, config, "pysubtask.ftp")):
        with pytest.raises(ConfigError, match="watchfilesdirs"):
            make([], ftp())
    assert os.listdir(folder) == []


def test_secret_is_in_no_repr():
    master = TaskMaster(FILES, {**ftp(Password="geheim"), **box(AccessToken="geheim", Proxy="http://me:geheim@h:1")})
    assert plans(master)[0].settings["Password"] == plans(master)[1].settings["RefreshToken"] == "geheim"
    assert "geheim" not in f"{master!r} {plans(master)!r} {vars(master)!r} {plans(master)[0]} {plans(master)[1]}"


def test_wrong_entry_is_found_before_the_config():
    with pytest.raises(ConfigError, match=r"watchfilesdirs\[0\]\.flie"):
        TaskMaster([{"flie": "a.csv"}], ftp())


def test_plain_ftp_and_ftps_are_destinations():
    (plan,) = plans(TaskMaster(FILES, ftp(UseSFTP=False, User="pi", Password="geheim")))
    assert (plan.extension, plan.settings["UseSFTP"], plan.settings["UseTLS"]) == ("ftp", False, None)
    (plan,) = plans(TaskMaster(FILES, ftp(UseSFTP=False, UseTLS="implicit", TLSFingerprint="AB" * 32)))
    assert (plan.settings["UseTLS"], plan.settings["StoreInPlace"]) == ("implicit", False)


def test_ftp_master_is_always_on():
    (plan,) = plans(FTPTaskMaster(FILES, ftp(UseFTP=False)))
    assert plan.extension == "ftp"
    with pytest.raises(ConfigError, match=r"ftp\.Host"):
        FTPTaskMaster(FILES, {"base": Section("")})


@pytest.mark.parametrize(
    ("values", "on"),
    [
        ({"AccessToken": "t"}, True),
        ({"AppKey": "k", "RefreshToken": "t"}, True),
        ({"AppKey": "k", "RefreshTokenFile": "token"}, True),
        ({"AppKey": "k", "RefreshToken": "t", "UseDropbox": False}, False),
        ({"AppKey": "k"}, False),
        ({"AccessToken": "***"}, False),
        ({"AccessToken": ""}, False),
    ],
)
def test_dropbox_is_on_when_a_token_is_set_beside_ftp_too(folder, values, on):
    (folder / "token").write_text("t")
    found = plans(TaskMaster(FILES, {"dropbox": values, **ftp()}))
    assert [plan.extension for plan in found] == (["ftp", "dropbox"] if on else ["ftp"])
    if on:
        (plan,) = plans(TaskMaster(FILES, {"dropbox": {**values, "UseDropbox": True}}))
        assert (plan.extension, plan.module, plan.child_name) == ("dropbox", "pysubtask.dropbox", "DropboxSubtask")
        assert plan.state_dir == str(folder / ".pysubtask/main/dropbox")
        assert plan.bak_dir == str(folder / "upload/dropbox")
        assert plan.settings["Concurrency"] == 256


def test_what_dropbox_is_given():
    (plan,) = plans(DropboxTaskMaster(FILES, box(AccessToken="****", UseDropbox=False, Proxy="http://me:pass@[::1]:3128/")))
    assert [plan.settings[key] for key in ("RefreshToken", "RefreshTokenFile", "AccessToken")] == ["geheim", None, None]
    assert plan.settings["Proxy"] == "http://me:pass@[::1]:3128/"
    for proxy in (None, "", "http://h", "https://h:1"):
        (plan,) = plans(DropboxTaskMaster(FILES, box(Proxy=proxy)))
        assert plan.settings["Proxy"] == proxy


def test_files_of_the_dropbox_login_are_meant_as_seen_from_here(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    for name in ("token", "ca.pem"):
        (folder / name).touch()
    config = {"dropbox": {"AppKey": "k", "RefreshTokenFile": "~/token", "CAFile": "ca.pem"}}
    (plan,) = plans(DropboxTaskMaster(FILES, config))
    assert (plan.settings["RefreshTokenFile"], plan.settings["CAFile"]) == (str(folder / "token"), str(folder / "ca.pem"))


@pytest.mark.slow
def test_the_fingerprint_of_a_plan_knows_no_secret():
    def fingerprint(**values):
        return plans(DropboxTaskMaster(FILES, box(**values)))[0].settings_fingerprint

    assert fingerprint() == fingerprint(RefreshToken="another")
    assert fingerprint(Proxy="http://me:one@h:1") == fingerprint(Proxy="http://me:two@h:1") != fingerprint()
    assert fingerprint(HostPath="a") != fingerprint()


def test_dropbox_master_is_always_on():
    (plan,) = plans(DropboxTaskMaster(FILES, {**box(UseDropbox=False), **ftp()}))
    assert plan.extension == "dropbox"
    with pytest.raises(ConfigError, match=r"dropbox\.RefreshToken"):
        DropboxTaskMaster(FILES, ftp())


@pytest.mark.parametrize(
    "config",
    [
        Section("", TimerIntervalSecs=7),
        {"TimerIntervalSecs": 7},
        types.SimpleNamespace(TimerIntervalSecs=7),
        {"base": {"TimerIntervalSecs": 7}, "ftp": {"TimerIntervalSecs": 3}},
        types.SimpleNamespace(base=Section("", TimerIntervalSecs=7)),
    ],
)
def test_base_master_takes_a_flat_section_or_a_config(config):
    (plan,) = plans(BaseMaster(FILES, config))
    assert plan.settings["TimerIntervalSecs"] == 7
    assert (plan.extension, plan.module, plan.child_name) == ("base", "pysubtask.base", "BaseSubtask")


def test_base_master_without_config_or_entries(folder):
    (plan,) = plans(BaseMaster([]))
    assert plan.settings["TimerIntervalSecs"] == 2
    assert plan.state_dir == str(folder / ".pysubtask/main/base")
    assert "No Watch files or dirs specified!" in (folder / "logs/base_taskmaster.log.txt").read_text()
    with pytest.raises(ConfigError, match=r"base\.TimerIntervalSec\b"):
        BaseMaster(FILES, {"TimerIntervalSec": 7})


def test_log_file_name_from_argument_settings_or_none(folder):
    BaseMaster(FILES, {"Master_Log_FileName": "mine/log.txt"})
    BaseMaster(FILES, {"Master_Log_FileName": "not/this.txt"}, LogFileName="argument.txt")
    BaseMaster(FILES, {"Master_Log_FileName": None})
    BaseMaster(FILES, LogFileName=None)
    assert sorted(os.listdir(folder)) == ["argument.txt", "mine"]


def test_modules_of_ones_own(folder):
    (plan,) = plans(BaseMaster(FILES, None, "lab.tasks.camera"))
    assert (plan.extension, plan.module) == ("camera", "lab.tasks.camera")
    assert plan.state_dir == str(folder / ".pysubtask/main/camera")
    assert own_module("__main__", "/app/station.py") == "station"
    for name in ("", "a..b", ".a", "-c", "a/b", "a\0", 3, None, "__main__", "x" * 101):
        with pytest.raises(ConfigError, match="SubtaskModuleName"):
            own_module(name, "/app/program")


@pytest.mark.slow
def test_script_that_is_its_own_child(folder):
    """A script passes its own __name__, as version 1 had it."""
    (folder / "app").mkdir()
    (folder / "app" / "station.py").write_text(
        "import os, signal, sys, time\n"
        "if '--handoff' in sys.argv:\n"
        "    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])\n"
        "    from pysubtask.common import handoff\n"
        "    open('read', 'w').write(handoff.read().extension)\n"
        "    os.rename('read', 'read.done')\n"
        "    time.sleep(60)\n"
        "from pysubtask import BaseMaster\n"
        "with BaseMaster([{'file': 'a.csv'}], None, __name__) as master:\n"
        "    end = time.monotonic() + 60\n"
        "    while not os.path.exists('read.done') and time.monotonic() < end:\n"
        "        time.sleep(0.01)\n"
    )
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "app/station.py"], check=True, timeout=90, env=environ, capture_output=True)
    assert (folder / "read.done").read_text() == "station"


def test_two_tasks_do_not_share_a_log_unless_somebody_says_so(tmp_path):
    def logs(**ftp):
        task_plan = plan("ftp", "pysubtask.ftp", {"ftp": {"Host": "h", **ftp}}, str(tmp_path))
        return task_plan.settings["Subtask_Log_FileName"], task_plan.settings["Master_Log_FileName"]

    assert logs() == ("./logs/ftp_subtask.log.txt", "./logs/ftp_taskmaster.log.txt")
    assert logs(TaskName="roof") == ("./logs/ftp_subtask.roof.log.txt", "./logs/ftp_taskmaster.roof.log.txt")
    assert logs(TaskName="roof", Subtask_Log_FileName="mine.txt")[0] == "mine.txt"
