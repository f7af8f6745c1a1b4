# SPDX-License-Identifier: LGPL-2.1-or-later
# The frame of the checks in dom0: helpers, restores with figures, verdicts. Sourced.
#
# A check is a shell function `check_NAME HELPER`, run in a subshell with all output in a log. It
# returns 0 for passed, 77 for skipped, else it failed; `why` gives the reason, `fig` adds figures to
# those that every check with a restore has: what its restores took and asked of Xen, added up.
# On our stdout: "plan NAME...", "run NAME", and a verdict per check: "ok|FAIL|late|skip NAME
# [figures]", where late means failed after a limit of time was met.

STOCK=/usr/lib/xen-4.17/bin/libxl-save-helper
LOGS=/lab/out/logs/checks
mkdir -p $LOGS

why() {
	echo "$*" >/tmp/why
	echo "why: $*"
	return 1
}
fig() { printf ' %s' "$*" >>/tmp/fig; }

# A wrapper per helper: counts what a restore asks of Xen and leaves the pid. exec keeps the pid and
# the descriptors, so libxl can't tell.
wrap_helper() { # NAME PATH [PRELOADED]
	{
		printf '#!/bin/busybox sh\n'
		printf 'if [ "$1" = --restore-domain ]; then\n'
		printf '\techo $$ >>/tmp/helper.pids\n'
		printf '\texport LD_PRELOAD=/usr/bin/count.so%s XR_COUNT=/tmp/count\n' "${3:+:$3}"
		printf 'fi\nexec %s "$@"\n' "$2"
	} >"/tmp/helper-$1"
	chmod +x "/tmp/helper-$1"
}

free_pages() { xr-lab free; }
domains() { xl list 2>/dev/null | awk 'NR > 1 && $2 != 0 { print $2 }'; }
domid_of() { xl domid "$1" 2>/dev/null; }
nodes() { for d in /local/domain /vm /libxl; do xenstore-list $d; done 2>/dev/null | wc -l; }
processes() { ps -o pid,args | grep -c '[s]ave-helper'; }

# until_true SECONDS COMMAND...
until_true() (
	set +x
	i=0 n=$(limit $(($1 * 5)))
	shift
	until "$@"; do
		[ $i -lt "$n" ] || late || exit 1
		sleep .2
		i=$((i + 1))
	done
)
# Xen allocates a page of its own now and then; what a restore lost is more, or adds up in `twenty`.
SLACK=3
memory_is_back() { [ $(($(free_pages) + SLACK)) -ge "$FREE" ]; }
no_domains() { [ -z "$(domains)" ]; }
no_helpers() { [ "$(processes)" = 0 ]; }

# Nothing of a failed or killed restore may stay: no domain, no process, no memory, no xenstore node.
left_nothing() {
	until_true 10 no_domains || why "a domain is left: $(domains)" || return 1
	until_true 10 no_helpers || why "a helper process is left" || return 1
	until_true 10 memory_is_back || why "memory is lost: $((FREE - $(free_pages))) pages" || return 1
	[ "$(nodes)" = "$NODES" ] || why "xenstore still knows of a domain"
}

# ---- restores ---------------------------------------------------------------------------------

# timed COMMAND: the CPU time that it and all its descendants take is added to that of the check. Not
# for migrations, where a guest runs beside them on the one CPU.
timed() { busybox time -a -f '%U %S' -o /tmp/time "$@"; }

# spent START [N]: N restores have ended that began at START
spent() { echo "$(since "$1") ${2:-1}" >>/tmp/spent; }

# The limit ended it: 137 by timeout, but busybox time passes the signal's bare number on.
was_killed() { [ "$RC" = 137 ] || [ "$RC" = 9 ]; }

# restore HELPER FILE [XL-OPTIONS]: status in RC, xl's words in /tmp/xl.log
restore() {
	local helper=$1 file=$2 start
	shift 2
	: >/tmp/helper.pids
	start=$(now)
	LIBXL_SAVE_HELPER=/tmp/helper-$helper timed timeout -s KILL "$(limit 90)" \
		xl restore "$@" "$file" >/tmp/xl.log 2>&1
	RC=$?
	spent "$start"
	! was_killed || late
	tr '\r' '\n' </tmp/xl.log | grep -av '%'
}

# count N: the Nth number of the helper's calls (see count.c)
count() { od -An -tu8 -w8 -j $((8 * $1)) -N 8 /tmp/count | tr -d ' '; }

# What the restores of a check took and asked of Xen; CPU time where all of them were timed.
figures() {
	local n
	n=$(awk '{ n += $2 } END { print n + 0 }' /tmp/spent 2>/dev/null)
	[ "${n:-0}" -gt 0 ] || return 0
	[ "$n" = 1 ] || printf ' restores=%s' "$n"
	awk '{ s += $1 } END { printf " wall=%.1fs", s }' /tmp/spent
	# it says in a line more if a command failed
	[ ! -e /tmp/time ] ||
		awk -v want="$n" 'NF == 2 { n++; s += $1 + $2 } END { if (n == want) printf " cpu=%.1fs", s }' /tmp/time
	printf ' hypercalls=%s populate=%sx2M+%sx4K/%scalls release=%s/%scalls map=%s/%scalls unmap=%s/%scalls' \
		"$(count 0)" "$(count 3)" "$(count 2)" "$(count 1)" "$(count 6)" "$(count 5)" "$(count 8)" \
		"$(count 7)" "$(count 10)" "$(count 9)"
}

# traced_restore HELPER NAME FILE: restore paused, compare the domain with what the stream says
traced_restore() {
	local helper=$1 name=$2 file=$3 said
	said=$(xr-lab stream "$file") || why "cannot read $file: $said" || return 1
	trace_start
	restore "$helper" "$file" -p
	trace_stop
	[ $RC = 0 ] || why "xl restore: status $RC: $(first_error)" || return 1
	check_domain "$helper" "$name" "$file" "$said"
}

# same_memory DOMID FILE: every frame of the paused domain is what the stream said last of it
same_memory() {
	local line
	line=$(xr-lab memory "$1" "$2") || why "memory is not what the stream said: $line" || return 1
	fig "same=$(word frames "$line")"
}

# ram_of HELPER STREAM-LINE: the pages that the domain must have; the stock restorer never takes back
# one that left the guest during its migration.
ram_of() { word "$([ "$1" = stock ] && echo ever || echo ram)" "$2"; }

# check_domain HELPER NAME FILE STREAM-LINE: of a paused, fresh domain, with the trace stopped
check_domain() {
	local helper=$1 file=$3 said=$4 dom id want
	id=$(domid_of "$2") || why "no domain $2" || return 1
	dom=$(xr-lab dom "$id")
	[ "$(word paused "$dom")" = 1 ] || why "the domain is not paused" || return 1
	want=$(ram_of "$helper" "$said")
	fig "tot=$(word tot "$dom")/$want"
	[ "$(word tot "$dom")" = "$want" ] ||
		why "tot_pages $(word tot "$dom"), the stream says $want" || return 1
	[ "$(word pv "$said")" = 0 ] || return 0 # Xen keeps no p2m of a PV guest
	same_memory "$id" "$file" || return 1
	superpages "$helper" "$id" "$said"
}

# superpages HELPER DOMID STREAM-LINE [OWN]: how Xen's p2m maps the domain, by the trace of its restore;
# OWN frames may be there that it has mapped itself since
superpages() {
	local p2m two want
	p2m=$(xr-lab p2m /tmp/trace "$2")
	two=$(word 2m "$p2m")
	fig "2M=$two/$(word whole "$3") 4K=$(word 4k "$p2m")"
	[ "$(word lost "$p2m")" = 0 ] || late || why "the trace lost records: $p2m" || return 1
	want=$(ram_of "$1" "$3")
	[ "$(word p2m "$p2m")" -ge "$want" ] && [ "$(word p2m "$p2m")" -le $((want + ${4:-0})) ] ||
		why "the p2m has $p2m, not $want pages" || return 1
	# Some leave out regions with legacy holes (VGA, ACPI, LAPIC): three at most.
	[ "$1" = stock ] || [ $((two + 3)) -ge "$(word whole "$3")" ] ||
		why "only $two superpages where the stream fills $(word whole "$3")"
}

# tiny_verified [FILLED-HOLES-ALLOWED]: the tiny guest has checked all its memory and goes on
tiny_verified() {
	local line
	guest_wait '^verified' 60 || why "the guest did not come back" || return 1
	line=$(guest_says '^verified' | tail -1)
	echo "$line"
	[ "$(word bad "$line")" = 0 ] || why "$(guest_says '^BAD' | head -1)" || return 1
	[ "$(word filled-holes "$line")" = 0 ] || [ -n "$1" ] ||
		why "$(word filled-holes "$line") holes have memory: $(guest_says '^hole' | head -1)" || return 1
	guest_goes_on
}

# guest_goes_on: it counts, and finds nothing bad
guest_goes_on() {
	guest_count 3 60 || why "the guest stopped counting" || return 1
	! guest_says '^BAD' >/dev/null || why "$(guest_says '^BAD' | head -1)"
}

# The helper's first error, without xl's consequences of it.
first_error() {
	tr '\r' '\n' </tmp/xl.log | grep -a 'error' | grep -av 'libxl: error' | grep -av '%' | head -1 | cut -c1-160
}

# A restore that must fail, clearly, and leave nothing.
must_fail() { # HELPER FILE
	restore "$1" "$2" -p
	! was_killed || why "xl restore hung" || return 1
	[ $RC != 0 ] || why "xl restore took it" || return 1
	[ -n "$(first_error)" ] || why "no word from the helper on why" || return 1
	fig "says \"$(first_error)\""
	left_nothing
}

# ---- verdicts ---------------------------------------------------------------------------------

clean_up() {
	local id
	for id in $(domains); do
		xl unpause "$id" 2>/dev/null
		xl destroy "$id"
	done
	for id in $(cat /tmp/helper.pids /tmp/pids 2>/dev/null); do kill -KILL "$id" 2>/dev/null; done
	rm -f /tmp/pids /tmp/*.save /tmp/*.stream /tmp/*.fifo
}

verdict() { # NAME STATUS
	local word
	case $2 in
	0) word=ok ;;
	77) word=skip ;;
	*) word=$([ -e /tmp/late ] && echo late || echo FAIL) ;;
	esac
	echo "$word $1$(figures)$(cat /tmp/fig 2>/dev/null)$([ "$2" = 0 ] || sed 's/^/  : /' /tmp/why 2>/dev/null)"
}

run_check() { # CHECK HELPER
	local name=$1/$2 rc
	rm -f /tmp/fig /tmp/why /tmp/late /tmp/spent /tmp/time
	dd if=/dev/zero of=/tmp/count bs=96 count=1 2>/dev/null
	echo "run $name"
	(
		set -x
		"check_$(echo "$1" | tr - _)" "$2"
	) >"$LOGS/$1.$2.log" 2>&1
	rc=$?
	clean_up >>"$LOGS/$1.$2.log" 2>&1
	# Memory that a passed check lost is a failure, too.
	[ $rc != 0 ] || left_nothing >>"$LOGS/$1.$2.log" 2>&1 || rc=1
	verdict "$name" $rc
	FREE=$(free_pages) # one leak is one failure
}

# run_checks CHECK/HELPER...
run_checks() {
	local c
	echo "plan $*"
	trace_start # Xen keeps the trace buffers: have them before memory is counted
	trace_stop
	lab_create warm tiny 32 "" && xl destroy warm # likewise what the first domain ever costs
	sleep 1
	FREE=$(free_pages)
	NODES=$(nodes)
	# The host should see the log of a check that hangs, too.
	while sleep 10; do sync; done &
	for c; do run_check "${c%/*}" "${c#*/}"; done
}
