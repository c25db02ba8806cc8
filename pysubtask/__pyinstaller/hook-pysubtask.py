"""What PyInstaller does not see: the child's half and the transports are loaded by name.

The command (``control``), the test servers (``testing``) and the libraries that only they need are left out, unless the
app imports them itself.
"""

from PyInstaller.utils.hooks import collect_submodules, copy_metadata

_NOT_FOR_APPS = ("pysubtask.control", "pysubtask.testing", "pysubtask.__main__", "pysubtask.__pyinstaller")

hiddenimports = collect_submodules("pysubtask", filter=lambda name: not name.startswith(_NOT_FOR_APPS), on_error="ignore")
datas = copy_metadata("pysubtask")  # __version__
