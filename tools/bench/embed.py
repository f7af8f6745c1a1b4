#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turn page.html into a C array: embed.py page.html page.c."""
import sys

with open(sys.argv[1], "rb") as source:
    data = source.read() + b"\0"
with open(sys.argv[2], "w") as target:
    target.write('#include "bench/page.h"\n\nconst char bench_page[] = {\n')
    for at in range(0, len(data), 16):
        target.write("\t" + " ".join(f"{(b ^ 128) - 128}," for b in data[at:at + 16]) + "\n")
    target.write("};\n")
