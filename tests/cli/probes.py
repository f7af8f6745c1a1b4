#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What idle probes cost: probes.py PROGRAM...

Of each xenrestore probe: the instruction that stands for it must be a nop, without a semaphore to be
read before it, and its arguments must lie in registers or memory already. Prints what is not so, then
how many places of how many probes there are.
"""
import re
import subprocess
import sys

ARGUMENT = r"-?[1248]@(\$-?\d+|%\w+|[-\w]*(\+\d+)?\(%\w+(,%\w+(,\d)?)?\))"


def told(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode()


def file_offset(segments, address):
    for offset, start, size in segments:
        if start <= address < start + size:
            return address - start + offset
    raise ValueError(f"{address:#x} is in no segment")


def base_of(program):
    found = re.search(r"\.stapsdt\.base\s+PROGBITS\s+([0-9a-f]+)", told("readelf", "-SW", program))
    return int(found.group(1), 16)


def look(program):
    image = open(program, "rb").read()
    segments = [tuple(int(n, 16) for n in m.group(1, 2, 3)) for m in re.finditer(
        r"LOAD\s+(0x[0-9a-f]+) (0x[0-9a-f]+) 0x[0-9a-f]+ (0x[0-9a-f]+)", told("readelf", "-lW", program))]
    names, places = set(), 0
    for m in re.finditer(r"Provider: xenrestore\s+Name: (\S+)\s+Location: (\S+), Base: (\S+), Semaphore: (\S+)\s+Arguments: (.*)",
                         told("readelf", "-nW", program)):
        name, location, base, semaphore, arguments = m.groups()
        at = file_offset(segments, int(location, 16) + base_of(program) - int(base, 16))
        names.add(name)
        places += 1
        if image[at] != 0x90:
            print(f"{name} is no nop but {image[at]:#x}")
        if int(semaphore, 16):
            print(f"{name} has a semaphore")
        if not all(re.fullmatch(ARGUMENT, a) for a in arguments.split()):
            print(f"{name} has arguments that are computed: {arguments}")
    return names, places


for path in sys.argv[1:]:
    names, places = look(path)
    print(len(names), "in", "enough" if places >= len(names) else places, "places")
