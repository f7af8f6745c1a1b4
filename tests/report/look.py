#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Look at a page, or at a drawing, in a headless browser: look.py PAGE.html|DRAWING.svg WIDTH SHOT.png.

Prints what the page says of itself once it is drawn, as JSON: its width and that of its contents,
errors, how many plots there are, what lies outside of its plot or of the page, which texts of a plot
lie on one another; and how many different bytes the picture of it has. The page stands in a frame of
that width, as a browser's window can't be as narrow as a phone.
"""
import html
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib

LIMIT = 240  # s; a slow machine takes some 20
page, width, shot = open(sys.argv[1]).read(), int(sys.argv[2]), os.path.abspath(sys.argv[3])
if sys.argv[1].endswith(".svg"):
    page = '<!DOCTYPE html><html><head></head><body style="margin:0">' + page + "</body></html>"

CATCH = """<head><script>
window.seen = [];
addEventListener("error", e => seen.push(e.message));
console.error = console.warn = (...a) => seen.push(a.join(" "));
</script>"""
WRAPPER = """<!DOCTYPE html><html><body style="margin:0"><script>
const box = e => e.getBoundingClientRect(), all = (where, what) => [...where.querySelectorAll(what)];
function within(e, w) {{
	const r = box(e), s = box(e.ownerSVGElement);
	return !r.width || (r.right <= Math.min(w.innerWidth, s.right) + 1 && r.left >= Math.max(0, s.left) - 1);
}}
function meet(a, b) {{
	const p = box(a), q = box(b), x = Math.min(p.right, q.right) - Math.max(p.left, q.left),
		y = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
	return x > 1 && y > 3; /* boxes of texts are taller than their letters */
}}
function overlaps(svg) {{
	const texts = all(svg, "text"), found = [];
	for (let i = 0; i < texts.length; i++)
		for (let k = i + 1; k < texts.length; k++)
			if (meet(texts[i], texts[k]))
				found.push(texts[i].textContent + " / " + texts[k].textContent);
	return found;
}}
function look(frame) {{
	const w = frame.contentWindow, d = w.document;
	document.body.dataset.look = JSON.stringify({{ width: w.innerWidth, scroll: d.documentElement.scrollWidth, errors: w.seen,
		plots: all(d, "svg").length,
		outside: all(d, "svg text, svg rect, svg path").filter(e => !within(e, w)).map(e => e.tagName + " " + e.textContent),
		overlaps: all(d, "svg").flatMap(overlaps) }});
}}
</script><iframe style="border:0;width:{width}px;height:3600px" onload="look(this)" srcdoc="{page}"></iframe></body></html>"""


def browse(url):
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             f"--user-data-dir={profile}", "--virtual-time-budget=4000", f"--window-size={max(width, 520)},3600",
             "--dump-dom", "--screenshot=" + shot, url],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=LIMIT, check=True).stdout.decode()


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
    dom = browse("file://" + f.name)
finally:
    os.unlink(f.name)
told = json.loads(html.unescape(re.search(r'data-look="([^"]*)"', dom).group(1)))
told["bytes"] = different_bytes(shot)
print(json.dumps(told))
