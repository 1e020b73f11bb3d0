"""A script that runs in each child process before its program: what must happen between fork and exec.

Usage: `python launch.py PARENT DEATH_SIGNAL UID GID PROGRAM [ARGUMENT...]`, with `-` for UID and GID to stay the same
user. It is replaced by the program, with the same process id. On Linux the kernel sends DEATH_SIGNAL to the program
when its parent dies, so that a parent killed by SIGKILL leaves nothing running. Elsewhere the next start on the data
directory finds and stops what was left.

PostgreSQL refuses to run as root, so as root the program runs as UID. That user keeps one capability, CAP_DAC_OVERRIDE,
because it could not enter a checkout below /root (mode 0700) without it; see capabilities(7), "Ambient". The script
imports nothing of the package, so that it starts quickly.
"""

import ctypes
import os
import signal
import sys

# linux/prctl.h, linux/securebits.h, linux/capability.h
PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE = 1
LINUX_CAPABILITY_VERSION_3 = 0x20080522


class CapabilityHeader(ctypes.Structure):
    """`struct __user_cap_header_struct`."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapabilityData(ctypes.Structure):
    """`struct __user_cap_data_struct`."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def call_prctl(option: int, *arguments: int) -> bool:
    """Calls prctl(2); False when the kernel refuses or the system is not Linux."""
    if not sys.platform.startswith("linux"):
        return False
    padded = (*arguments, 0, 0, 0, 0)[:4]
    return bool(ctypes.CDLL(None).prctl(option, *(ctypes.c_ulong(value) for value in padded)) == 0)


def become_user(uid: int, gid: int) -> None:
    """Changes from root to `uid`, with CAP_DAC_OVERRIDE where the kernel allows it: else only public paths work."""
    keeps_capabilities = call_prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if not keeps_capabilities:
        return
    bit = 1 << CAP_DAC_OVERRIDE
    data = (CapabilityData * 2)(CapabilityData(bit, bit, bit), CapabilityData(0, 0, 0))
    header = CapabilityHeader(LINUX_CAPABILITY_VERSION_3, 0)
    if ctypes.CDLL(None).capset(ctypes.byref(header), data) == 0:
        call_prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE)


def main(arguments: list[str]) -> None:
    """Replaces this process by the program; never returns."""
    parent, death_signal, uid, gid, *command = arguments
    if uid != "-":
        become_user(int(uid), int(gid))
    # After the change of user, which clears it. If the parent died before this line, this process has another parent.
    call_prctl(PR_SET_PDEATHSIG, int(death_signal))
    if os.getppid() != int(parent):
        sys.exit(1)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.execv(command[0], command)  # noqa: S606 - no shell is the point: the program gets exactly these arguments


if __name__ == "__main__":
    main(sys.argv[1:])
