// SPDX-License-Identifier: LGPL-2.1-or-later
// The part of one restore's page; what draws is in tools/page.
const g = d.guest, how = d.how;
Object.assign(label, { read: "read from the stream", written: "written into the guest", records: "items of the stream, read ahead",
	windows: "pieces of work for the workers", loop: "control loop and populate", workers: "copy workers", "1G": "1G pages", "2M": "2M pages",
	"4K": "4K pages", source: "the source of the stream", stream: "reading the stream", populate: "handing out memory", copy: "copying" });
const stageName = { stream: "stream", populate: "populate", copy: "copy" };
const time = s => s >= 1 ? num(s) + " s" : s >= 1e-3 ? num(s * 1e3) + " ms" : num(s * 1e6) + " µs";
const count = (n, word) => `${big(n)} ${word}${n === 1 ? "" : "s"}`;

html("h1", "", d.error ? "A restore that failed" : "A restore");
const read = how.records > 0;
html("p", "", `${d.source}, ${d.date}, xenrestore ${d.version}.` + (!read ? "" : ` ${g.kind === "PV" ? "A" : "An"} ${g.kind} guest of ${bytes(g.populated * 4096)} from a stream of version ` +
	`${g.version}, ${count(how.records, "record")}, ${count(how.passes, "pass").replace("passs", "passes")}, into ` +
	`${how.host === "xen" ? "Xen" : "a model of Xen"} by ${how.workers} ${how.worker_kind}${how.workers === 1 ? "" : how.worker_kind === "process" ? "es" : "s"}, ` +
	`policy ${how.policy}, ${how.indexed ? "planned from an index" : "planned as it came"}, ${how.uring ? "io_uring" : "plain reads"}.`));
if (d.error) html("p", "warn", `${d.error.stage}: ${d.error.text}${d.error.where}`);
if (d.timeline.lost) html("p", "warn", `${count(d.timeline.lost, "event")} had no room: the plots and percentiles are those of the beginning.`);

const tiles = html("div", "tiles");
if (read) for (const [what, value, more] of [
	["time", time(d.seconds), `${num(how.bytes / GIB / d.seconds)} GiB/s of stream`],
	["memory", bytes(g.populated * 4096), `${big(g.written)} of ${big(g.received)} page contents written`],
	["pages", `${big(g["2M"] + 512 * g["1G"])} × 2M`, (g["1G"] ? `in ${big(g["1G"])} pages of 1G, too; ` : "") + `${big(g["4K"])} × 4K besides`],
	...(d.error ? [] : [["limited by", d.limit, name(d.limit)]])]) {
	const t = html("div", "tile", undefined, tiles);
	html("span", "", what, t);
	html("b", "", value, t);
	html("span", "", more, t);
}
if (!d.error || d.error.next) {
	html("h2", "", d.error ? "What to do" : "What to change");
	html("p", "", d.error ? d.error.next[0].toUpperCase() + d.error.next.slice(1) + "." : d.advice);
}

// Steps: a bin has one value all over.
function steps(f, names, pick, unit) {
	key(f, names);
	const left = 46, right = 14, top = 22, h = 200, bottom = h - 40;
	const [s, w] = canvas(f, h);
	const bins = d.timeline.bins, end = bins.length * d.timeline.width;
	const max = Math.max(1e-9, ...bins.flatMap(b => names.map((n, k) => pick(b)[k]))) * 1.05;
	const X = i => left + (w - left - right) * i / bins.length, Y = v => bottom - (bottom - top) * v / max;
	yaxis(s, max, left, w - right, top, bottom, unit);
	names.forEach((n, k) => {
		let path = "M" + X(0).toFixed(1) + " " + Y(0).toFixed(1);
		bins.forEach((b, i) => { path += `V${Y(pick(b)[k]).toFixed(1)}H${X(i + 1).toFixed(1)}`; });
		tip(svg("path", { d: path, fill: "none", stroke: color[n], "stroke-width": 1.6 }, s), name(n));
	});
	for (const v of ticks(end, w < 420 ? 3 : 6))
		if (v <= end) svg("text", { class: "soft", x: X(v / d.timeline.width), y: bottom + 18, "text-anchor": "middle" }, s, String(v));
	svg("text", { class: "soft", x: (left + w) / 2, y: h - 6, "text-anchor": "middle" }, s, "seconds");
}

function plots() {
	html("h2", "", "Over time");
	html("p", "", "Throughput; the most that was queued; and how many processors the control loop and the workers kept busy. An empty queue of " +
		"stream items means that the others waited for the stream, a full queue of work that they waited for the workers.");
	const two = html("div", "two");
	figure(f => steps(f, ["read", "written"], b => [b[0] / GIB, b[1] / GIB], "GiB/s"), two);
	figure(f => steps(f, ["records", "windows"], b => [b[2], b[3]], "queued"), two);
	figure(f => steps(f, ["loop", "workers"], b => [b[4], b[5]], "busy"), two);
	figure(f => {
		key(f, ["busy", "blocked", "starved"]);
		const left = 76, bar = 18, gap = 26, names = ["stream", "populate", "copy"];
		const [s, w] = canvas(f, names.length * (bar + gap) + 4);
		const span = w - left - 46;
		names.forEach((n, i) => {
			const t = d.stages[n], y = i * (bar + gap) + 6;
			const all = Math.max(d.seconds * (n === "copy" ? how.workers : 1), t.busy + t.blocked + t.starved);
			let x = left;
			svg("text", { class: "soft", x: left - 8, y: y + 13, "text-anchor": "end", "font-weight": n === d.limit ? 700 : 400 }, s, stageName[n]);
			svg("rect", { x: left, y, width: span, height: bar, fill: "none", stroke: "var(--line)" }, s);
			for (const k of ["busy", "blocked", "starved"]) {
				const len = span * t[k] / all;
				tip(svg("rect", { x, y, width: Math.max(0, len), height: bar, fill: color[k] }, s), `${n} ${k}: ${time(t[k])}`);
				x += len;
			}
			svg("text", { x: left + span + 8, y: y + 13 }, s, (100 * t.busy / all).toFixed(0) + " %");
		});
	}, two);

	html("h2", "", "Page sizes");
	html("p", "", "How much of the guest lies in pages of which size. A restore that is short of large pages takes more calls, and the guest runs slower.");
	figure(f => {
		const sizes = { "1G": g["1G"] * 262144, "2M": g["2M"] * 512, "4K": g["4K"] };
		const used = Object.keys(sizes).filter(k => sizes[k]);
		const all = used.reduce((n, k) => n + sizes[k], 0) || 1;
		key(f, used);
		const [s, w] = canvas(f, 30);
		let x = 4;
		for (const k of used) {
			const len = (w - 8) * sizes[k] / all;
			tip(svg("rect", { x, y: 4, width: Math.max(1, len), height: 22, fill: color[k] }, s), `${name(k)}: ${bytes(sizes[k] * 4096)}`);
			x += len;
		}
	});

	function table(head, rows, lefts) {
		const t = html("table", "", undefined, html("div", "scroll"));
		for (const [i, values] of [head, ...rows].entries()) {
			const r = html("tr", "", undefined, t);
			values.forEach((v, k) => html(i ? "td" : "th", k < lefts ? "l" : "", v, r));
		}
	}
	if (d.passes.length) {
		html("h2", "", "Passes");
		html("p", "", how.indexed ? "In the order of the stream. Of a file only the newest contents of a page are read, in the first pass that the restore makes." :
			"What the saver sent again because the guest had changed it.");
		table(["pass", "page contents", "size", "from", "to"], d.passes.map(p => [p.pass === 64 ? "64 and later" : String(p.pass), big(p.pages), bytes(p.pages * 4096), time(p.begun), time(p.ended)]), 0);
	}
	html("h2", "", "Calls to the host");
	html("p", "", "How long they took, from the shortest to the longest. Maps and unmaps are the workers', and go on at the same time.");
	table(["call", "calls", "in all", "median", "90 %", "99 %", "longest"],
		d.calls.map(c => [c.name, big(c.count), time(c.seconds), time(c.p50), time(c.p90), time(c.p99), time(c.max)]), 1);
	html("p", "", `${count(how.other_calls, "other call")}.`);
}
if (read) plots();
