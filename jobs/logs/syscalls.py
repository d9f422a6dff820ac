"""System calls that Python has no function for: cutting the head off a file, and where its first block lies."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct

_COLLAPSE_RANGE = 0x08  # linux/falloc.h
_FS_IOC_FIEMAP = 0xC020660B  # linux/fiemap.h: a header of 32 bytes, then extents of 56
_FS_IOC_GETFLAGS = 0x80086601  # linux/fs.h
_FIEMAP_FLAG_SYNC = 1
_EXTENT_UNKNOWN = 0x2 | 0x4  # location unknown, or not yet allocated
_IMMUTABLE, _APPEND_ONLY = 0x10, 0x20
_FAR_BEYOND_BYTES = 1 << 40
_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2

_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate  # musl has only the one
_fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
_libc.sync_file_range.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
_libc.renameat2.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]


def cut_head(descriptor: int, size: int) -> None:
    """Take the first `size` bytes, a multiple of the block size, out of a file; raise OSError where that fails.

    The kernel does it under the inode's lock: a writer that appends does so before or after, and nothing that it
    wrote behind the range is touched (fallocate(2), FALLOC_FL_COLLAPSE_RANGE).
    """
    if _fallocate(descriptor, _COLLAPSE_RANGE, 0, size) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def can_cut(descriptor: int, block_size: int) -> bool:
    """Whether the file system can do that to this file; OSError where something else stands in the way.

    A range that reaches beyond the end of the file is refused (EINVAL) by those that can, before anything is done.
    """
    try:
        cut_head(descriptor, (os.fstat(descriptor).st_size + _FAR_BEYOND_BYTES) // block_size * block_size)
    except OSError as error:
        if error.errno == errno.EINVAL:
            return True
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EFBIG, errno.ENODEV):
            return False
        raise
    raise AssertionError("a range beyond the end of a file was accepted")


def begin_write_back(descriptor: int, offset: int, size: int) -> None:
    """Have the kernel begin to write this part of a file to the disk, and wait for nothing (sync_file_range(2)).

    A hint, and not the syncing itself: where the file system cannot, nothing is lost but time.
    """
    _libc.sync_file_range(descriptor, offset, size, _SYNC_FILE_RANGE_WRITE)


def first_block(descriptor: int) -> int | None:
    """Where on the disk the first byte of a file lies, None where the file system does not tell.

    After its head was cut off, a file begins with another block: so a cut that was made is told from one that was not.
    """
    request = bytearray(struct.pack("=QQLLLL", 0, 1, _FIEMAP_FLAG_SYNC, 0, 1, 0) + bytes(56))
    try:
        fcntl.ioctl(descriptor, _FS_IOC_FIEMAP, request)
    except OSError:
        return None
    mapped = struct.unpack_from("=L", request, 20)[0]
    logical, physical = struct.unpack_from("=QQ", request, 32)
    flags = struct.unpack_from("=L", request, 32 + 40)[0]
    return int(physical) if mapped and logical == 0 and not flags & _EXTENT_UNKNOWN else None


def protection(descriptor: int) -> str:
    """`immutable` or `append-only` where chattr(1) has made the file so, else an empty text."""
    flags = bytearray(8)
    try:
        fcntl.ioctl(descriptor, _FS_IOC_GETFLAGS, flags)
    except OSError:
        return ""
    (value,) = struct.unpack_from("=L", flags)
    return "immutable" if value & _IMMUTABLE else "append-only" if value & _APPEND_ONLY else ""


def rename_new(directory: int, old: str, new: str) -> None:
    """Rename a file within an open directory, replacing nothing: FileExistsError (renameat2(2), RENAME_NOREPLACE)."""
    if _libc.renameat2(directory, os.fsencode(old), directory, os.fsencode(new), _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        if code not in (errno.EINVAL, errno.ENOSYS):
            raise OSError(code, os.strerror(code), old)
        # The file system cannot (NFS): the name is one that nobody else makes.
        if new in os.listdir(directory):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)
        os.rename(old, new, src_dir_fd=directory, dst_dir_fd=directory)
