#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""
Cut a captured stream down to a size that can live in the repository.

    cut.py --keep FIRST-LAST[,FIRST-LAST...] IN OUT

All headers, all control records, every PAGE_DATA record with its whole pfn array, and all bytes
behind the end stay as they are. A page whose pfn is in no kept range becomes a hole: its type turns to
XTAB, its contents go. The pages that HVM_PARAMS name are always kept. Pfns are hexadecimal.
"""
import argparse
import struct
import sys

import read_stream as rs

XTAB = 0xF


def parse_ranges(text):
    return [tuple(int(end, 16) for end in part.split("-")) for part in text.split(",")]


def params_of(path):
    with open(path, "rb") as file:
        src = rs.Source(file)
        rs.read_layers(src)
        rs.read_headers(src)
        return {value for _, kind, body in rs.records(src) if kind == rs.HVM_PARAMS
                for index, value in rs.hvm_params(body)}


def cut_pages(body, keep):
    entries, contents = [], []
    for pfn, kind, page in rs.page_data(body):
        if not keep(pfn):
            kind, page = XTAB, None
        entries.append(kind << 60 | pfn)
        if page is not None:
            contents.append(page)
    return struct.pack(f"<II{len(entries)}Q", len(entries), 0, *entries) + b"".join(contents)


def cut(path, out, ranges):
    named = params_of(path)
    named |= {value >> 12 for value in named}  # the identity page table is named by its address

    def keep(pfn):
        return pfn in named or any(first <= pfn <= last for first, last in ranges)

    with open(path, "rb") as file:
        src = rs.Source(file)
        rs.read_layers(src)
        rs.read_headers(src)
        file.seek(0)
        out.write(file.read(src.offset))
        for _, kind, body in rs.records(src):
            if kind == rs.PAGE_DATA:
                body = cut_pages(body, keep)
            out.write(struct.pack("<II", kind, len(body)) + body + bytes(-len(body) % 8))
        out.write(file.read())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keep", required=True, type=parse_ranges)
    parser.add_argument("input")
    parser.add_argument("output")
    args = parser.parse_args()
    with open(args.output, "wb") as out:
        cut(args.input, out, args.keep)


if __name__ == "__main__":
    sys.exit(main())
