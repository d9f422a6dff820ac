"""What this process may do beside what its user may: as root, or by capabilities that a unit of systemd gives."""

from __future__ import annotations

import os
import re
from pathlib import Path

_CHOWN, _DAC_OVERRIDE = 0, 1
"""Numbers of capabilities (include/uapi/linux/capability.h)."""
WITHOUT_CAPABILITIES = (
    "import ctypes, os, sys; prctl = ctypes.CDLL(None, use_errno=True).prctl; "
    "prctl(47, 4, 0, 0, 0) == 0 == prctl(38, 1, 0, 0, 0) or sys.exit(os.strerror(ctypes.get_errno())); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Python that becomes the program in its arguments, without the capabilities that a unit gave a user other than root.

PR_CAP_AMBIENT_CLEAR_ALL, then PR_SET_NO_NEW_PRIVS (prctl(2)); setpriv(1) would call capset(2), which units may not.
"""
_EFFECTIVE = re.compile(r"^CapEff:\s*([0-9a-f]+)$", re.MULTILINE)
_STATUS = Path("/proc/self/status")


def overrides_permissions() -> bool:
    """Whether permissions do not stop us, so that following somebody's link or rename would do them a favour."""
    return os.geteuid() == 0 or _has(_DAC_OVERRIDE)


def may_give_files_away() -> bool:
    """Whether a file of ours can be made another user's."""
    return _has(_CHOWN)


def _has(number: int) -> bool:
    """Whether a capability is in force (proc_pid_status(5)); where that cannot be read, root has all of them."""
    try:
        match = _EFFECTIVE.search(_STATUS.read_text())
    except OSError:
        match = None
    return bool(int(match[1], 16) >> number & 1) if match else os.geteuid() == 0
