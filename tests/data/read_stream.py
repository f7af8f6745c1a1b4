#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Read a migration stream and print its manifest line: what it must restore to.

This reader shares nothing with the library, so that the two can be held against each other. It
needs the standard library only (and the zstd program for *.zst files).

    read_stream.py FILE...                      print one JSON line a file
    read_stream.py --check MANIFEST FILE...     compare with the lines of MANIFEST, exit 1 if any differs

Keys of a line:
    libxc_offset, end_offset, trailing_bytes    where the libxc stream begins and ends, what follows it
    version, guest, xen                         of the headers
    store_gfn, console_gfn                      as HVM_PARAMS says
    records                                     number by type
    passes_seen                                 how often a record began at a lower pfn, plus one
    pages_with_data                             page contents in the stream
    populated, whole_2m_regions, highest_pfn    frames backed at the end (types that are RAM)
    sha256                                      over pfn (u64, little-endian) and the 4096 bytes of every
                                                populated pfn, ascending; RAM without contents and the
                                                pages of HVM_PARAMS 1, 5, 6, 17 are zeros; for PV the
                                                page-table pages are left out
"""
import hashlib
import json
import os
import struct
import subprocess
import sys

PAGE = 4096
LIBXC_MARKER = b"\xff" * 8 + b"XENF"
XL_MAGIC = b"Xen saved domain, xl format\n \x00 \r"
LIBVIRT_MAGIC = b"libvirt-xml\n \x00 \r"
PFN_MASK = (1 << 52) - 1
PARAM_STORE, PARAM_CONSOLE, PARAMS_CLEARED = 1, 17, (1, 5, 6, 17)
END, PAGE_DATA, HVM_PARAMS, VERIFY = 0x0, 0x1, 0xA, 0xD
RAM = {0x0, 0x1, 0x2, 0x3, 0x4, 0x9, 0xA, 0xB, 0xC, 0xE}
NO_RAM = {0xD, 0xF}
XALLOC = 0xE


class StreamError(Exception):
    pass


class Source:
    """Bytes in order, with their offset."""

    def __init__(self, file):
        self.file, self.offset = file, 0

    def take(self, n):
        data = self.file.read(n)
        if len(data) != n:
            raise StreamError(f"ends at {self.offset + len(data)}, {n - len(data)} bytes are missing")
        self.offset += n
        return data

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))


def read_layers(src):
    """Up to and including the libxc image header's first 12 bytes; returns the header's offset."""
    head = src.take(8)
    if head == XL_MAGIC[:8]:
        if head + src.take(24) != XL_MAGIC:
            raise StreamError("not an xl save file")
        order, mandatory, _, optional = src.unpack("<4I")
        if order != 0x01020304 or mandatory & ~3 or not mandatory & 2:
            raise StreamError("an xl save file of another kind")
        src.take(optional)
        head = src.take(8)
    elif head == LIBVIRT_MAGIC[:8]:
        if head + src.take(8) != LIBVIRT_MAGIC:
            raise StreamError("not a libvirt save file")
        version, length = src.unpack("<2I40x")
        if version != 2:
            raise StreamError("a libvirt save file of another version")
        src.take(length)
        head = src.take(8)
    if head == b"LibxlFmt":
        if src.unpack(">2I") != (2, 0) or src.unpack("<2I") != (1, 0):
            raise StreamError("no libxl stream that leads to a libxc stream")
        head = src.take(8)
    if head + src.take(4) != LIBXC_MARKER:
        raise StreamError("no libxc stream")
    return src.offset - 12


def read_headers(src):
    version, options = src.unpack(">IH6x")
    kind, shift, _, major, minor = src.unpack("<IHHII")
    if version not in (2, 3) or options & 1 or kind not in (1, 2) or shift != 12:
        raise StreamError("headers of an unknown kind")
    return version, kind, f"{major}.{minor}"


def records(src):
    """(offset, type, body) of every record, END included."""
    while True:
        at = src.offset
        kind, length = src.unpack("<2I")
        if length > 128 << 20:
            raise StreamError(f"record at {at} is too long")
        body = src.take(length)
        src.take(-length % 8)
        yield at, kind, body
        if kind == END:
            return


def page_data(body):
    """[(pfn, type, contents or None)] of a PAGE_DATA body."""
    count = struct.unpack_from("<I", body)[0]
    at = 8 + 8 * count
    pages = []
    for entry in struct.unpack_from(f"<{count}Q", body, 8):
        pfn, kind = entry & PFN_MASK, entry >> 60
        contents = None
        if kind in RAM and kind != XALLOC:
            contents = body[at:at + PAGE]
            at += PAGE
        elif kind not in RAM and kind not in NO_RAM:
            raise StreamError(f"pfn {pfn:#x} has the unknown type {kind:#x}")
        pages.append((pfn, kind, contents))
    if at != len(body):
        raise StreamError(f"PAGE_DATA of {len(body)} bytes should have {at}")
    return pages


def hvm_params(body):
    count = struct.unpack_from("<I", body)[0]
    if len(body) != 8 + 16 * count:
        raise StreamError("HVM_PARAMS has a wrong length")
    return [struct.unpack_from("<2Q", body, 8 + 16 * i) for i in range(count)]


class Guest:
    def __init__(self):
        self.pages = {}  # pfn -> (type, contents or None), RAM only
        self.params = {}
        self.highest = -1
        self.with_data = 0
        self.passes, self.last_first = 1, -1
        self.verify = False  # contents are for comparing then

    def take_pages(self, pages):
        first = pages[0][0]
        self.passes += first < self.last_first
        self.last_first = first
        for pfn, kind, contents in pages:
            self.highest = max(self.highest, pfn)
            if kind in NO_RAM:
                self.pages.pop(pfn, None)
                continue
            self.with_data += contents is not None
            if contents is None or self.verify:
                contents = self.pages.get(pfn, (kind, None))[1]
            self.pages[pfn] = (kind, contents)

    def take_params(self, params):
        for index, value in params:
            self.params[index] = value
            if index in PARAMS_CLEARED and value in self.pages:
                self.pages[value] = (self.pages[value][0], None)

    def whole_2m(self):
        regions = {}
        for pfn in self.pages:
            regions[pfn >> 9] = regions.get(pfn >> 9, 0) + 1
        return sum(n == 512 for n in regions.values())

    def sha256(self):
        digest = hashlib.sha256()
        for pfn in sorted(self.pages):
            kind, contents = self.pages[pfn]
            if kind == XALLOC or not 1 <= kind & 7 <= 4:
                digest.update(struct.pack("<Q", pfn))
                digest.update(contents or bytes(PAGE))
        return digest.hexdigest()


def manifest(name, src):
    line = {"file": name, "libxc_offset": read_layers(src)}
    version, kind, xen = read_headers(src)
    line.update(version=version, guest="x86 PV" if kind == 1 else "x86 HVM/PVH", xen=xen)
    guest, count = Guest(), {}
    for _, record, body in records(src):
        count[hex(record)] = count.get(hex(record), 0) + 1
        if record == PAGE_DATA:
            guest.take_pages(page_data(body))
        elif record == HVM_PARAMS:
            guest.take_params(hvm_params(body))
        elif record == VERIFY:
            guest.verify = True
    if kind == 2:
        line["store_gfn"] = guest.params.get(PARAM_STORE)
        line["console_gfn"] = guest.params.get(PARAM_CONSOLE)
    line.update(records=count, passes_seen=guest.passes, pages_with_data=guest.with_data,
                populated=len(guest.pages), whole_2m_regions=guest.whole_2m(),
                highest_pfn=guest.highest, end_offset=src.offset)
    line["trailing_bytes"] = sum(len(piece) for piece in iter(lambda: src.file.read(1 << 20), b""))
    line["sha256"] = guest.sha256()
    return line


def read_file(path):
    name = os.path.basename(path)
    if not name.endswith(".zst"):
        with open(path, "rb") as file:
            return manifest(name, Source(file))
    with subprocess.Popen(["zstd", "-dcq", path], stdout=subprocess.PIPE) as child:
        line = manifest(name[:-len(".zst")], Source(child.stdout))
    if child.returncode:
        raise StreamError("zstd failed")
    return line


def main(args):
    known = {}
    if args[:1] == ["--check"]:
        with open(args[1], encoding="ascii") as file:
            known = {line["file"]: line for line in map(json.loads, file)}
        args = args[2:]
    differing = 0
    for path in args:
        line = read_file(path)
        print(json.dumps(line))
        if known and line != known.get(line["file"]):
            print(f"{path}: differs from the manifest: {json.dumps(known.get(line['file']))}", file=sys.stderr)
            differing += 1
    return 1 if differing or not args else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (StreamError, OSError) as error:
        print(f"read_stream: {error}", file=sys.stderr)
        sys.exit(2)
