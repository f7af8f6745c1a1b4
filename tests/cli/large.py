#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Inspect a stream whose contents are holes of the file: large.py PROGRAM SMALL LARGE GIB.

LARGE is the bare libxc stream SMALL with so many GiB of RAM from 4 GiB on behind its last PAGE_DATA.
Prints the verdict, the pages of the guest, how many pages of LARGE there are to one that is cached
afterwards, and the seconds."""
import array
import ctypes
import json
import mmap
import os
import struct
import subprocess
import sys
import time

HEADERS, PAGE_DATA, BATCH = 40, 1, 1024



def cached(fd, size):
    """How many pages of a file are."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
    at = libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    seen = bytearray((size + 4095) // 4096)
    if libc.mincore(at, size, (ctypes.c_char * len(seen)).from_buffer(seen)):
        raise OSError(ctypes.get_errno(), "mincore")
    return sum(seen)


program, small, large, gib = sys.argv[1], open(sys.argv[2], "rb").read(), sys.argv[3], int(sys.argv[4])
at, split, kind = HEADERS, None, None
while kind != 0:
    kind, length = struct.unpack_from("<II", small, at)
    at += 8 + (length + 7 & ~7)
    if kind == PAGE_DATA:
        split = at

fd = os.open(large, os.O_CREAT | os.O_TRUNC | os.O_RDWR, 0o600)
os.pwrite(fd, small[:split], 0)
at, length = split, 8 + BATCH * (8 + 4096)
for first in range(1 << 20, (1 << 20) + (gib << 18), BATCH):
    os.pwrite(fd, struct.pack("<IIII", PAGE_DATA, length, BATCH, 0) + array.array("Q", range(first, first + BATCH)).tobytes(), at)
    at += 8 + length
at += os.pwrite(fd, small[split:], at)

began = time.monotonic()
told = json.loads(subprocess.run([program, "inspect", "--json", large], stdout=subprocess.PIPE).stdout)
took = time.monotonic() - began
print(told["verdict"], told["pages"]["populated"], at // 4096 // cached(fd, at), f"{took:.1f}")
