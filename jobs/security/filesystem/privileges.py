"""Rights that a program has beyond its user's: which are usual, and what capabilities it was given."""

from __future__ import annotations

import struct

_SHIPPED = """
    su sudo passwd chsh chfn chage gpasswd newgrp expiry mount umount fusermount fusermount3 ntfs-3g mount.nfs
    mount.cifs pkexec polkit-agent-helper-1 dbus-daemon-launch-helper ping ping6 ping4 crontab at ssh-agent ssh-keysign
    unix_chkpwd unix_update pam_extrausers_chkpwd pam_timestamp_check userhelper usernetctl staprun utempter bsd-write
    write write.ul wall locate mlocate plocate dotlockfile mail-lock mail-touchlock mail-unlock exim4 exim postdrop
    postqueue dma dma-mbox-create procmail lockfile screen pppd newuidmap newgidmap snap-confine Xorg.wrap
    chrome-sandbox lxc-user-nic traceroute6.iputils arping mtr-packet grub2-set-bootflag sudoedit camel-lock-helper-1.2
    krb5_child ldap_child selinux_child proxy_child p11_child cockpit-session fping vmware-user-suid-wrapper bwrap
    ssh-sk-helper usb-device-redirector spice-client-glib-usb-acl-helper gst-ptp-helper doas
"""
USUAL_SETUID = frozenset(_SHIPPED.split())
"""Programs that distributions ship SUID or SGID; being one of them counts only for a package's own file."""

_NUMBERED = """
    chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service
    net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin
    sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override
    mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore
"""
_NAMES = tuple(_NUMBERED.split())
"""By number, as in linux/capability.h."""
_WEAK = "net_bind_service net_broadcast net_raw net_admin ipc_lock sys_nice wake_alarm block_suspend lease kill"
HARMLESS = frozenset(_WEAK.split())
"""Those that do not lead to root's rights by themselves."""


def capabilities(attribute: str) -> frozenset[str]:
    """Given `security.capability` in hexadecimal digits, return the names of what it permits or lets be inherited.

    Its form is `struct vfs_cap_data` of linux/capability.h; one that is none of it stands for everything.
    """
    raw = bytes.fromhex(attribute)
    words = struct.unpack(f"<{len(raw) // 4}I", raw[: len(raw) // 4 * 4])
    if len(words) == 3:  # version 1 has 32 capabilities
        bits = words[1] | words[2]
    elif len(words) in (5, 6):
        bits = words[1] | words[2] | (words[3] | words[4]) << 32
    else:
        return frozenset(_NAMES)
    return frozenset(name for number, name in enumerate(_NAMES) if bits >> number & 1)
