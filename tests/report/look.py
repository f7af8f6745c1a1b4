#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Look at a page in a headless browser: look.py PAGE WIDTH SHOT.png.

Prints what the page says of itself once it is drawn, as JSON: its width and that of its contents,
errors, how many plots there are; and how many different bytes the picture of it has. The page stands
in a frame of that width, as a browser's window can't be as narrow as a phone.
"""
import html
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib

page, width, shot = open(sys.argv[1]).read(), int(sys.argv[2]), os.path.abspath(sys.argv[3])

CATCH = """<head><script>
window.seen = [];
addEventListener("error", e => seen.push(e.message));
console.error = console.warn = (...a) => seen.push(a.join(" "));
</script>"""
WRAPPER = """<!DOCTYPE html><html><body style="margin:0"><script>
function look(frame) {{
	const w = frame.contentWindow, d = w.document;
	document.body.dataset.look = JSON.stringify({{ width: w.innerWidth, scroll: d.documentElement.scrollWidth, errors: w.seen,
		plots: d.querySelectorAll("svg").length,
		outside: [...d.querySelectorAll("svg text, svg rect, svg path")].filter(t => {{ const r = t.getBoundingClientRect();
			return r.width && (r.right > w.innerWidth + 1 || r.left < -1); }}).map(t => t.tagName + " " + t.textContent) }});
}}
</script><iframe style="border:0;width:{width}px;height:3600px" onload="look(this)" srcdoc="{page}"></iframe></body></html>"""


def browse(*what):
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             f"--user-data-dir={profile}", "--virtual-time-budget=4000", f"--window-size={max(width, 520)},3600", *what],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=240, check=True).stdout.decode()


def different_bytes(path):
    data, at, pixels = open(path, "rb").read(), 8, b""
    while at < len(data):
        length, kind = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        if kind == b"IDAT":
            pixels += data[at + 8:at + 8 + length]
        at += 12 + length
    return len(set(zlib.decompress(pixels)))


with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False) as f:
    f.write(WRAPPER.format(width=width, page=html.escape(page.replace("<head>", CATCH, 1), quote=True)))
try:
    dom = browse("--dump-dom", "file://" + f.name)
    browse("--screenshot=" + shot, "file://" + f.name)
finally:
    os.unlink(f.name)
told = json.loads(html.unescape(re.search(r'data-look="([^"]*)"', dom).group(1)))
told["bytes"] = different_bytes(shot)
print(json.dumps(told))
