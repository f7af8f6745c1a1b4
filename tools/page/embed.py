#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Turn a file into a C string: embed.py NAME FILE page.c."""
import sys

with open(sys.argv[2], "rb") as source:
    data = source.read() + b"\0"
with open(sys.argv[3], "w") as target:
    target.write(f'extern const char {sys.argv[1]}[];\nconst char {sys.argv[1]}[] = {{\n')
    for at in range(0, len(data), 16):
        target.write("\t" + " ".join(f"{(b ^ 128) - 128}," for b in data[at:at + 16]) + "\n")
    target.write("};\n")
