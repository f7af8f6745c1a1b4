// SPDX-License-Identifier: LGPL-2.1-or-later
// The bench's part of the page; what draws is in tools/page.
const main = d.cells.filter(c => c.section === "main" && c.seconds);
const order = ["file", "pipe", "unix", "tcp"];
const best = (cells, who, pick) => cells.filter(c => c.who === who && pick(c))
	.sort((a, b) => a.seconds.median - b.seconds.median)[0];
const sources = order.filter(s => main.some(c => c.source === s));
const everyone = ["ours", "stock", "mapped", "limit"], bounds = ["mapped", "limit"];
const whos = everyone.filter(w => main.some(c => c.who === w));
const st = d.streams[0];
const guest = st.populated_pages * 4096;

html("h1", "", "Restore throughput");
html("p", "", `xenrestore ${d.version}, ${d.date.replace("T", " ").replace("Z", " UTC")}. ${d.machine.cpu}, ${d.machine.cores} cores, ` +
	`${bytes(d.machine.memory)}${d.machine.virtual_machine === "yes" ? ", virtual machine" : ""}, ${d.machine.kernel}, ` +
	`load ${d.machine.load.toFixed(2)} at the start.`);
html("p", "", `A stream of ${bytes(st.bytes)} for a guest of ${bytes(guest)}` +
	(st.file ? ` (${st.file})` : `, generated with seed ${st.seed}, ${st.passes} pass${st.passes === 1 ? "" : "es"}`) +
	`, restored into a model of Xen that all contenders share. ${d.rounds} rounds, the contenders in turn; medians, whiskers are ` +
	`quartiles. GiB are of the stream. Pipes hold ${bytes(d.pipe_bytes)}.` + (d.options.length ? ` Options of ours: ${d.options.join(" ")}.` : ""));
for (const w of d.warnings) html("p", "warn", w);

const tiles = html("div", "tiles");
for (const s of sources) {
	const o = best(main, "ours", c => c.source === s), r = d.ratios[s] || {};
	if (!o) continue;
	const t = html("div", "tile", undefined, tiles);
	html("span", "", name(s), t);
	html("b", "", num(o.gib_per_second.median) + " GiB/s", t);
	if (r.ours_to_stock) html("span", "", num(r.ours_to_stock.median) + " × the stock restorer", t);
	if (r.ours_to_mapped) html("span", "", (100 * r.ours_to_mapped.median).toFixed(0) + " % of mapping every frame once", t);
	if (r.ours_to_limit) html("span", "", (100 * r.ours_to_limit.median).toFixed(0) + " % of the limit", t);
}

html("h2", "", "Throughput by source");
html("p", "", "Two bounds: the limit moves the same bytes from the same source into fresh memory in the largest pages. Between it and a restore " +
	"lies what mapping costs on this machine: every frame populated, mapped 4K by 4K as foreign memory is, and written, once, and nothing else done. " +
	"Both with the best number of threads or processes.");
figure(f => {
	key(f, whos);
	const narrow = f.clientWidth < 560, bar = 18, gap = 16, left = narrow ? 44 : 96, right = 60;
	const rows = sources.map(s => whos.map(w => best(main, w, c => c.source === s)).filter(Boolean));
	const h = rows.reduce((n, r) => n + r.length * (bar + 3) + gap, 0) + 26;
	const [g, w] = canvas(f, h);
	const max = Math.max(...rows.flat().map(c => c.gib_per_second.q3)) * 1.05;
	const x = v => left + (w - left - right) * v / max;
	for (const t of ticks(max, narrow ? 3 : 6)) {
		svg("line", { class: "grid", x1: x(t), x2: x(t), y1: 0, y2: h - 24 }, g);
		svg("text", { class: "soft", x: x(t), y: h - 8, "text-anchor": "middle" }, g, String(t));
	}
	svg("text", { class: "soft", x: w, y: h - 8, "text-anchor": "end" }, g, "GiB/s");
	let y = 4;
	rows.forEach((row, i) => {
		svg("text", { x: 0, y: y + row.length * (bar + 3) / 2 + 3 }, g, narrow ? sources[i] : name(sources[i]));
		for (const c of row) {
			const q = c.gib_per_second;
			const b = svg("rect", { x: left, y, width: Math.max(1, x(q.median) - left), height: bar, rx: 2, fill: color[c.who] }, g);
			tip(b, `${name(c.who)}, ${name(c.source)}: ${num(q.median)} GiB/s [${num(q.q1)} ${num(q.q3)}]`);
			svg("path", { d: `M${x(q.q1)} ${y + bar / 2}H${x(q.q3)}M${x(q.q1)} ${y + 4}v${bar - 8}M${x(q.q3)} ${y + 4}v${bar - 8}`,
				stroke: "var(--fg)", fill: "none", "stroke-width": 1.3 }, g);
			svg("text", { x: x(Math.max(q.median, q.q3)) + 7, y: y + 13 }, g, num(q.median));
			y += bar + 3;
		}
		y += gap;
	});
});

function lines(f, series, o) {
	const left = 46, right = 16, top = 24, h = 250, bottom = h - 44;
	const [g, w] = canvas(f, h);
	const all = series.flatMap(s => s.points);
	const xs = [...new Set(all.map(p => p.x))].sort((a, b) => a - b);
	const fx = o.log ? Math.log2 : v => v;
	const lo = fx(xs[0]), hi = fx(xs[xs.length - 1]);
	const X = v => hi === lo ? (left + w - right) / 2 : left + 14 + (w - left - right - 28) * (fx(v) - lo) / (hi - lo);
	const max = Math.max(...all.map(p => p.q3)) * 1.08;
	const Y = v => bottom - (bottom - top) * v / max;
	yaxis(g, max, left, w - right, top, bottom, o.unit);
	let last = -99;
	for (const v of xs) {
		if (X(v) - last < (o.tick || 40)) continue;
		last = X(v);
		svg("text", { class: "soft", x: X(v), y: bottom + 18, "text-anchor": "middle" }, g, o.x(v));
	}
	svg("text", { class: "soft", x: (left + w) / 2, y: h - 6, "text-anchor": "middle" }, g, o.xname);
	for (const s of series) {
		const pts = s.points.sort((a, b) => a.x - b.x);
		svg("path", { d: "M" + pts.map(p => `${X(p.x)} ${Y(p.y)}`).join("L"), fill: "none", stroke: color[s.name], "stroke-width": 2 }, g);
		for (const p of pts) {
			svg("path", { d: `M${X(p.x)} ${Y(p.q1)}V${Y(p.q3)}`, stroke: color[s.name], "stroke-width": 1.3, fill: "none" }, g);
			tip(svg("circle", { cx: X(p.x), cy: Y(p.y), r: 4, fill: p.hollow ? "var(--card)" : color[s.name], stroke: color[s.name],
				"stroke-width": 2 }, g), `${name(s.name)}, ${o.x(p.x)}: ${num(p.y)} ${o.unit}`);
		}
	}
}

const work = d.cells.filter(c => c.section === "workers" && c.seconds);
if (work.length) {
	html("h2", "", "Over the number of workers");
	html("p", "", "Ours with so many copy workers.");
	const used = order.filter(s => work.some(c => c.source === s));
	figure(f => {
		key(f, used);
		lines(f, used.map(s => ({ name: s, points: work.filter(c => c.source === s).map(c => ({ x: c.workers,
			y: c.gib_per_second.median, q1: c.gib_per_second.q1, q3: c.gib_per_second.q3 })) })),
			{ unit: "GiB/s", xname: "workers", x: String, tick: 20, log: true });
	});
}

const scale = d.cells.filter(c => c.section === "scale" && c.seconds);
if (scale.length) {
	html("h2", "", "Over the size of the guest");
	html("p", "", "The throughput, and the CPU time for a page, which must stay flat. Hollow: streams without contents, " +
		"of which only the accounting is restored.");
	const two = html("div", "two");
	const size = c => d.streams[c.stream].populated_pages * 4096;
	const bests = [];
	for (const w of everyone)
		d.streams.forEach((s, i) => { const c = best(scale, w, c => c.stream === i); if (c) bests.push(c); });
	const used = everyone.filter(w => bests.some(c => c.who === w));
	const opt = { xname: "guest memory", x: bytes, log: true, tick: 62 };
	const full = bests.filter(c => c.gib_per_second);
	if (full.length) figure(f => {
		key(f, used);
		lines(f, used.map(w => ({ name: w, points: full.filter(c => c.who === w).map(c => ({ x: size(c), y: c.gib_per_second.median,
			q1: c.gib_per_second.q1, q3: c.gib_per_second.q3 })) })), { ...opt, unit: "GiB/s" });
	}, two);
	const peers = used.filter(w => !bounds.includes(w));
	figure(f => {
		key(f, peers);
		lines(f, peers.map(w => ({ name: w, points: bests.filter(c => c.who === w).map(c => ({ x: size(c), y: c.cpu_ns_per_page,
			q1: c.cpu_ns_per_page, q3: c.cpu_ns_per_page, hollow: d.streams[c.stream].types_only })) })),
			{ ...opt, unit: "CPU ns per page" });
	}, two);
}

const staged = sources.map(s => best(main, "ours", c => c.source === s)).filter(c => c && c.stages);
if (staged.length) {
	html("h2", "", "What the stages wait for");
	html("p", "", "Of the time of each stage's threads: busy, blocked (nowhere to put the result) and starved (nothing to do); the rest is start and end. " +
		"The stage that is busy most holds up the others; where the reader waits for bytes for longer, it is the sender.");
	figure(f => {
		key(f, ["busy", "blocked", "starved"]);
		const left = 84, bar = 15, names = ["stream", "populate", "copy"];
		const [g, w] = canvas(f, staged.length * 92);
		const span = w - left - 46;
		staged.forEach((c, i) => {
			let y = i * 92 + 14;
			svg("text", { x: 0, y, "font-weight": 600 }, g, `${name(c.source)}: limited by ${c.limiting === "sender" ? "the sender" : c.limiting}`);
			y += 8;
			for (const n of names) {
				const t = c.stages[n], all = Math.max(c.seconds.median * (n === "copy" ? c.used : 1), t.busy + t.blocked + t.starved);
				let x = left;
				svg("text", { class: "soft", x: left - 8, y: y + 12, "text-anchor": "end" }, g, n);
				svg("rect", { x: left, y, width: span, height: bar, fill: "none", stroke: "var(--line)" }, g);
				for (const k of ["busy", "blocked", "starved"]) {
					const len = span * t[k] / all;
					tip(svg("rect", { x, y, width: Math.max(0, len), height: bar, fill: color[k] }, g), `${n} ${k}: ${num(t[k])} s`);
					x += len;
				}
				svg("text", { x: left + span + 8, y: y + 12 }, g, (100 * t.busy / all).toFixed(0) + " %");
				y += bar + 5;
			}
		});
	});
}

const traced = order.filter(s => d.timelines[s] && d.timelines[s].points.length > 1);
if (traced.length) {
	html("h2", "", "The stages over time");
	html("p", "", "CPUs in use by each stage's threads in one traced run of ours (not counted above), from the start of its process to its end, seen from outside.");
	const two = html("div", "two");
	for (const s of traced) {
		const t = d.timelines[s], lanes = t.lanes.filter((l, i) => t.points.some(p => p[i + 1] > 0.01));
		figure(f => {
			html("h3", "", name(s) + (t.cut ? " (cut: it took longer)" : ""), f);
			key(f, lanes);
			const left = 40, right = 12, top = 22, h = 210, bottom = h - 40;
			const [g, w] = canvas(f, h);
			const end = t.points[t.points.length - 1][0];
			const sums = t.points.map(p => p.slice(1).reduce((a, b) => a + b, 0));
			const max = Math.max(d.machine.cores, ...sums);
			const X = v => left + (w - left - right) * v / end, Y = v => bottom - (bottom - top) * v / max;
			yaxis(g, max, left, w - right, top, bottom, "CPUs");
			const base = t.points.map(() => 0);
			t.lanes.forEach((l, k) => {
				if (!lanes.includes(l)) return;
				let upper = "", lower = "", before = 0;
				t.points.forEach((p, i) => {
					const lo = base[i], hi = lo + p[k + 1];
					upper += `L${X(before).toFixed(1)} ${Y(hi).toFixed(1)}H${X(p[0]).toFixed(1)}`;
					lower = `L${X(p[0]).toFixed(1)} ${Y(lo).toFixed(1)}H${X(before).toFixed(1)}` + lower;
					base[i] = hi;
					before = p[0];
				});
				tip(svg("path", { d: "M" + upper.slice(1) + lower + "Z", fill: color[l] }, g), l);
			});
			for (const v of ticks(end, 4))
				svg("text", { class: "soft", x: X(v), y: bottom + 18, "text-anchor": "middle" }, g, String(v));
			svg("text", { class: "soft", x: (left + w) / 2, y: h - 6, "text-anchor": "middle" }, g, "seconds");
		}, two);
	}
}

html("h2", "", "All figures");
const remus = d.cells.some(c => c.checkpoint_apply_seconds);
html("p", "", "Calls and mapped pages are per GiB of the guest, CPU seconds per GiB of stream and of the whole process. " +
	(remus ? "What a checkpoint takes from the word that it is good until it is applied is told of all but the first, which is written as it comes. " : "") +
	"In the JSON output every run stands by itself.");
const table = html("table", "", undefined, html("div", "scroll"));
function row(tag, values, lefts) {
	const r = html("tr", "", undefined, table);
	values.forEach((v, i) => html(tag, i < lefts ? "l" : "", v, r));
}
row("th", ["what", "source", "guest", "n", "seconds", "[q1", "q3]", "GiB/s", "CPU s/GiB", "ns/page", "hypercalls", "map", "unmap", "mapped pages", ...(remus ? ["ms to apply", "longest"] : [])], 2);
for (const c of d.cells) {
	const size = d.streams[c.stream].populated_pages * 4096, k = c.calls_per_gib, a = c.checkpoint_apply_seconds;
	const head = [c.watched ? `${c.who} --${c.watched}` : c.who, c.source, bytes(size), String(c.used || c.workers || "–")];
	if (!c.seconds) { row("td", [...head, c.error ? "failed" : "not run"], 2); continue; }
	row("td", [...head, num(c.seconds.median), num(c.seconds.q1), num(c.seconds.q3),
		num(c.gib_per_second && c.gib_per_second.median), num(c.cpu_seconds_per_gib), big(c.ns_per_page),
		big(k && k.populate + k.release + k.other), big(k && k.map), big(k && k.unmap), big(c.pages_mapped_per_gib),
		...(remus ? [num(a && 1e3 * a.average), num(a && 1e3 * a.longest)] : [])], 2);
}
for (const c of d.cells) if (c.error) html("p", "warn", `${c.who}, ${c.source}: ${c.error}`);
