#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Give many streams to Xen's verify-stream-v2: verify_many.py LIBRARY < list.

A line of the list is "FORMAT START SIZE AT HEX FILE": of the first SIZE bytes of FILE, those from AT
on replaced by HEX (or by nothing: -), all from START on. The answer is a line each: "good", or "bad"
and what Xen says.
"""
import importlib.machinery
import importlib.util
import io
import pathlib
import sys

library = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(library))
script = library.parent.parent / "bin" / "verify-stream-v2"
loader = importlib.machinery.SourceFileLoader("verify_stream_v2", str(script))
verifier = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(verifier)

said = []
verifier.err = said.append
files = {}
for line in sys.stdin:
    form, start, size, at, change, path = line.rstrip("\n").split(" ", 5)
    if path not in files:
        files[path] = pathlib.Path(path).read_bytes()
    stream = bytearray(files[path][:int(size)])
    if change != "-":
        change = bytes.fromhex(change)
        stream[int(at):int(at) + len(change)] = change
    verifier.fin = io.BytesIO(stream[int(start):])
    said.clear()
    if verifier.read_stream(form) == 0:
        print("good", flush=True)
    else:  # a traceback, whose last line is the error; "Please fix me" may follow
        errors = [text.rstrip("\n").rsplit("\n", 1)[-1] for text in said if "Traceback" in text]
        print("bad", errors[-1] if errors else "", flush=True)
