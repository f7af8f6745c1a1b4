#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Give many streams to Xen's stream verifier: verify_many.py LIBRARY < list.

A line of the list is "FORMAT OFFSET FILE"; the answer is a line each, "good" or "bad".
"""
import sys

sys.path.insert(0, sys.argv[1])
from xen.migration.libxc import VerifyLibxc  # noqa: E402
from xen.migration.libxl import VerifyLibxl  # noqa: E402

for line in sys.stdin:
    form, offset, path = line.rstrip("\n").split(" ", 2)
    with open(path, "rb") as f:
        f.seek(int(offset))
        try:
            verifier = VerifyLibxc if form == "libxc" else VerifyLibxl
            verifier(lambda text: None, f.read).verify()
            print("good", flush=True)
        except Exception:  # it raises of several kinds, also for streams that it has no words for
            print("bad", flush=True)
