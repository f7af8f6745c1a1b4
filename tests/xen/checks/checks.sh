# SPDX-License-Identifier: LGPL-2.1-or-later
# The checks. Sourced after frame.sh. $1 is the name of a helper: stock, ours, or library (the stock
# one with our xc_domain_restore preloaded).

# save_tiny HELPER NAME [MIB [CMDLINE [XL-LINE...]]]: a saved tiny guest in /tmp/NAME.save
save_tiny() {
	local helper=$1 name=$2 mib=${3:-32} args=${4:-}
	shift $(($# < 4 ? $# : 4))
	lab_create "$name" tiny "$mib" "$args" "$@" || why "cannot start a guest" || return 1
	save "$helper" "$name"
}

# save HELPER NAME: the guest at hand; look at its console from here on
save() {
	local start
	start=$(now)
	LIBXL_SAVE_HELPER=/tmp/helper-$1 xl save "$2" "/tmp/$2.save" >/tmp/save.log 2>&1 ||
		why "xl save failed: $(tail -1 /tmp/save.log)" || return 1
	echo "saved after $(since "$start")s"
	guest_mark "$2"
}

check_tiny_restore() {
	save_tiny "$1" t || return 1
	traced_restore "$1" t /tmp/t.save || return 1
	sleep 1
	! guest_says . >/dev/null || why "a paused guest ran" || return 1
	xl unpause t
	tiny_verified
}

# Without -p the guest must run by itself.
check_tiny_unpaused() {
	local said
	save_tiny "$1" t || return 1
	said=$(xr-lab stream /tmp/t.save)
	trace_start
	restore "$1" /tmp/t.save
	trace_stop
	[ $RC = 0 ] || why "xl restore: status $RC: $(first_error)" || return 1
	[ "$(word paused "$(xr-lab dom "$(domid_of t)")")" = 0 ] || why "left paused" || return 1
	superpages "$1" "$(domid_of t)" "$said" 1 || return 1 # its shared info page
	tiny_verified
}

# A checkpoint: the guest goes on in its own domain, and the file restores too.
check_tiny_checkpoint() {
	lab_create t tiny 32 "" || why "cannot start a guest" || return 1
	guest_mark t
	LIBXL_SAVE_HELPER=/tmp/helper-$1 xl save -c t /tmp/t.save >/tmp/save.log 2>&1 ||
		why "xl save -c failed" || return 1
	guest_wait 'the same domain' 30 || why "the guest did not go on" || return 1
	tiny_verified || return 1
	xl destroy t
	guest_mark t
	traced_restore "$1" t /tmp/t.save || return 1
	xl unpause t
	tiny_verified
}

# migrate HELPER NAME: live, to ourselves, what the sender says kept in /tmp/NAME.stream
migrate() {
	local start
	cat >/tmp/recv.sh <<-END
		#!/bin/busybox sh
		xr-lab tee /tmp/$2.stream | xl migrate-receive -p
	END
	chmod +x /tmp/recv.sh
	: >/tmp/helper.pids
	trace_start
	start=$(now)
	LIBXL_SAVE_HELPER=/tmp/helper-$1 timeout -s KILL "$(limit 180)" \
		xl migrate -s "" "$2" /tmp/recv.sh >/tmp/xl.log 2>&1
	RC=$?
	spent "$start"
	[ $RC != 137 ] || late
	trace_stop
	tr '\r' '\n' </tmp/xl.log | grep -av '%'
	[ $RC = 0 ] || why "xl migrate: status $RC: $(first_error)" || return 1
	GUEST_LOG=/var/log/xen/console/guest-$2--incoming.log # opened under that name
	GUEST_LOG_POS=0
}

# live HELPER NAME TYPE MIB CMDLINE: a migration in several passes
live() {
	local helper=$1 name=$2 said
	shift
	rm -f "/var/log/xen/console/guest-$name--incoming.log"
	lab_create "$@" || why "cannot start a guest" || return 1
	migrate "$helper" "$name" || return 1
	said=$(xr-lab stream "/tmp/$name.stream") || why "incomplete stream: $said" || return 1
	fig "passes=$(word passes "$said") contents=$(word contents "$said")"
	[ "$(word contents "$said")" -gt "$(word ever "$said")" ] || late ||
		why "nothing was sent twice: the guest dirtied too little" || return 1
	check_domain "$helper" "$name" "/tmp/$name.stream" "$said" || return 1
	xl unpause "$name"
}

# Workers for a helper with threads of its own are a program that is started.
check_tiny_threaded() {
	export XR_THREAD=1 XENRESTORE_WORKER=/lab/in/xenrestore-worker
	[ -x $XENRESTORE_WORKER ] || why "no worker program beside the helper" || return 77
	save_tiny "$1" t || return 1
	traced_restore "$1" t /tmp/t.save || return 1
	[ "$(count 11)" = 2 ] || why "$(count 11) programs ran, not helper and workers" || return 1
	xl unpause t
	tiny_verified
}

check_tiny_migrate() { live "$1" m tiny 32 "dirty=300 check=64 tick=50" && tiny_verified; }

# Pages leave and come back while it migrates. Xen 4.17 logs neither as dirty (README.md says which
# does), so the stream itself can hold stale contents, or none, of such pages: with any restorer.
# What counts is that the domain is what the stream says (check_domain), and that the guest misses
# nothing but pages that were out; how many is a figure.
check_tiny_balloon_migrate() {
	local line try
	for try in 1 2 3; do
		! live "$1" b tiny 48 "dirty=200 check=64 tick=50 balloon=64 balloon-every=20" || break
		# the saver gives up where a page leaves between its two looks at it
		[ $try != 3 ] && first_error | grep -q 'Mapping of pfn' || return 1
		clean_up
		rm -f /tmp/fig
	done
	guest_wait '^verified' 60 || why "the guest did not come back" || return 1
	line=$(guest_says '^verified' | tail -1)
	echo "$line"
	fig "lost-by-the-saver=$(word bad "$line") filled-holes=$(word filled-holes "$line")"
	[ "$(word bad "$line")" = "$(word bad-returned "$line")" ] ||
		why "$(guest_says '^BAD' | head -1), and some of them never left" || return 1
	guest_count 3 60 || why "the guest stopped counting"
}

check_linux_migrate() { live "$1" lm pvh 128 "fill=40 dirty=300 tick=100" && guest_goes_on; }

# Proof that damage is noticed: from outside, by comparing with the sound file, and by the guest,
# which must name the page and the kind, and nothing else.
named() { # HELPER KIND EXPECTED PFN [OTHER]
	local helper=$1 kind=$2 expected=$3 from=/tmp/${DAMAGE_FROM:-t.save}
	shift 3
	cp "$from" /tmp/d.save
	xr-lab damage /tmp/d.save "$kind" "$@" || why "cannot damage: $kind" || return 1
	guest_mark t
	restore "$helper" /tmp/d.save -p
	[ $RC = 0 ] || why "xl restore: status $RC" || return 1
	xr-lab memory "$(domid_of t)" /tmp/d.save || why "memory is not what the stream said" || return 1
	! xr-lab memory "$(domid_of t)" "$from" >/tmp/memory 2>&1 || why "damage not seen from dom0" || return 1
	cat /tmp/memory
	grep -q " differ=1 missing=0" /tmp/memory && grep -q "^frame $1: not" /tmp/memory ||
		why "$kind of $1: dom0 sees $(tail -1 /tmp/memory)" || return 1
	xl unpause t
	guest_wait '^verified' 60 || why "the guest did not come back" || return 1
	guest_says '^BAD'
	[ "$(guest_says '^BAD' | sort -u | wc -l)" = 1 ] && guest_says "^BAD $expected" >/dev/null ||
		why "$kind of $1: the guest said: $(guest_says '^BAD' | head -1)" || return 1
	fig "\"$(guest_says '^BAD' | head -1)\""
	xl destroy t
}

check_damage_named() {
	save_tiny "$1" t 32 "dirty=16" || return 1
	named "$1" zero "page 0x805: missing" 0x805 &&
		named "$1" flip "page 0x1234: damaged from byte 2048" 0x1234 &&
		named "$1" copy "page 0x401: wrong, it is page 0x900" 0x401 0x900
}

# A stale page: an early pass's contents where the last pass's should be.
check_stale_named() {
	local pfn
	live "$1" t tiny 32 "dirty=1500 check=16 tick=20" && tiny_verified || return 1
	xl destroy t
	for pfn in 0x805 0x806 0x807 0x808 0x809 0x80a 0x80b 0x80c; do
		cp /tmp/t.stream /tmp/s.save
		xr-lab damage /tmp/s.save stale $pfn || continue
		DAMAGE_FROM=t.stream named "$1" stale "page $pfn: stale" $pfn
		return
	done
	why "no page was sent twice"
}

check_truncated() {
	local at size
	save_tiny "$1" t || return 1
	size=$(stat -c %s /tmp/t.save)
	for at in $((size / 3)) $((size - 5000)); do
		head -c $at /tmp/t.save >/tmp/cut.save
		must_fail "$1" /tmp/cut.save || return 1
	done
}

check_corrupted() {
	local kind
	save_tiny "$1" t || return 1
	for kind in type length pfn; do
		cp /tmp/t.save /tmp/c.save
		xr-lab damage /tmp/c.save $kind 6 || why "cannot damage: $kind" || return 1
		must_fail "$1" /tmp/c.save || return 1
	done
}

restored_some() {
	local id
	id=$(domains)
	[ -n "$id" ] && [ "$(word tot "$(xr-lab dom "$id")")" -gt 256 ]
}

# half_way HELPER FILE: start a restore of half a file, return when it has read that: xl in XL_PID,
# the helper in HELPER_PID, who holds the other end of the pipe in FEED_PID, when it began in BEGAN
half_way() {
	local middle
	BEGAN=$(now)
	middle=$(word middle "$(xr-lab stream "$2")")
	rm -f /tmp/fed /tmp/in.fifo
	mkfifo /tmp/in.fifo
	: >/tmp/helper.pids
	(
		exec >/tmp/in.fifo
		head -c "$middle" "$2"
		touch /tmp/fed
		exec sleep 1000
	) &
	FEED_PID=$!
	echo $FEED_PID >/tmp/pids
	LIBXL_SAVE_HELPER=/tmp/helper-$1 xl restore -p /tmp/in.fifo >/tmp/xl.log 2>&1 &
	XL_PID=$!
	echo $XL_PID >>/tmp/pids
	until_true 60 test -e /tmp/fed || why "the helper does not read" || return 1
	HELPER_PID=$(tail -1 /tmp/helper.pids)
	until_true 60 restored_some || why "nothing was restored"
}

half_way_end() {
	kill $FEED_PID
	wait $FEED_PID
	return 0 # wait's status is the signal
}

# xl must end with a failure while its stream stands still: the end of the stream is no help.
xl_fails() {
	# a zombie has no exe
	until_true 30 test ! -e /proc/$XL_PID/exe || why "xl restore hangs" || return 1
	! wait $XL_PID || why "xl restore took it for success" || return 1
	spent "$BEGAN"
	cat /tmp/xl.log
}

# confined HELPER: ours is in its sandbox while it reads
confined() {
	[ "$1" != ours ] || [ "$(awk '/^Seccomp:/ { print $2 }' "/proc/$HELPER_PID/status")" = 2 ] ||
		why "the helper is not in its sandbox"
}

# SIGTERM is how libxl aborts a restore; SIGKILL is what the kernel does without memory.
killed_helper() { # HELPER SIGNAL
	half_way "$1" /tmp/t.save && confined "$1" || return 1
	kill -"$2" "$HELPER_PID"
	xl_fails && left_nothing || return 1
	half_way_end
}

check_killed() {
	save_tiny "$1" t && killed_helper "$1" TERM && killed_helper "$1" KILL
}

# descendants PID: its children, theirs, and so on
descendants() {
	local child
	for child in $(awk -v p="$1" '$4 == p { print $1 }' /proc/[0-9]*/stat 2>/dev/null); do
		echo "$child"
		descendants "$child"
	done
}

# killed_descendant HELPER first|last: one of its processes dies: the restore must fail, and say so
killed_descendant() {
	local victim
	half_way "$1" /tmp/t.save || return 1
	ps -o pid,ppid,args
	victim=$(descendants "$HELPER_PID" | if [ "$2" = first ]; then head -1; else tail -1; fi)
	[ -n "$victim" ] || half_way_end
	[ -n "$victim" ] || why "the helper has no processes beside itself" || return 1
	kill -KILL "$victim"
	xl_fails || return 1
	half_way_end
	[ -n "$(first_error)" ] || why "no word from the helper on why" || return 1
	fig "$2 says \"$(first_error)\""
	left_nothing
}

check_killed_worker() {
	save_tiny "$1" t || return 1
	killed_descendant "$1" first || return
	killed_descendant "$1" last
}

# xl itself dies: nobody destroys the domain, but the helper must not outlive it for ever, and once
# the domain is destroyed no mapping of the helper's may keep its memory.
check_killed_xl() {
	local rc=0
	save_tiny "$1" t || return 1
	half_way "$1" /tmp/t.save || return 1
	kill -KILL $XL_PID
	wait $XL_PID
	if ! until_true 10 no_helpers; then
		fig "helper stays until its stream ends"
		[ "$1" = stock ] || rc=1
	fi
	spent "$BEGAN"
	half_way_end
	[ $rc = 0 ] || why "the helper outlives xl" || return 1
	xl destroy "$(domains)"
	left_nothing
}

# The sender is gone: its pipe ends in the middle.
check_vanished() {
	save_tiny "$1" t || return 1
	half_way "$1" /tmp/t.save || return 1
	half_way_end
	xl_fails || return 1
	[ -n "$(first_error)" ] || why "no word from the helper on why" || return 1
	fig "says \"$(first_error)\""
	left_nothing
}

# A save to a full disk fails and the guest goes on; what was written is refused. A restore does not
# need a place to log to.
check_full_disk() {
	local rc=0 start
	lab_create t tiny 32 "" || why "cannot start a guest" || return 1
	guest_mark t
	mkdir -p /tmp/small
	mount -t tmpfs -o size=8m small /tmp/small
	! LIBXL_SAVE_HELPER=/tmp/helper-$1 xl save t /tmp/small/t.save || rc=1
	mv /tmp/small/t.save /tmp/cut.save
	umount /tmp/small
	[ $rc = 0 ] || why "a full disk is taken for a save" || return 1
	guest_wait 'the same domain' 30 && tiny_verified || why "the guest did not go on" || return 1
	save "$1" t || return 1
	must_fail "$1" /tmp/cut.save || return 1
	start=$(now)
	LIBXL_SAVE_HELPER=/tmp/helper-$1 timed xl restore -p /tmp/t.save >/dev/full 2>&1 ||
		why "xl restore fails where its words find no room" || return 1
	spent "$start"
	same_memory "$(domid_of t)" /tmp/t.save
}

# verbosely FILE: restore our guest with `xl -v`, keep the lines that tell of progress
verbosely() {
	local start
	start=$(now)
	LIBXL_SAVE_HELPER=/tmp/helper-ours timed xl -v restore -p "$1" >/tmp/xl.log 2>&1 ||
		why "xl restore failed" || return 1
	spent "$start"
	tr '\r' '\n' </tmp/xl.log >/tmp/said
	cat /tmp/said
	grep -E 'restored [0-9]+ pages in' /tmp/said || why "no summary in what xl -v says" || return 1
	grep -E 'pass 1  [0-9.]+ (of [0-9.]+ )?GiB  [0-9.]+ GiB/s' /tmp/said >/tmp/progress ||
		why "no progress in what xl -v says" || return 1
	fig "$(wc -l </tmp/progress) times \"$(tail -1 /tmp/progress)\""
	xl destroy t
}

# What an operator sees: of a file also how much is left.
check_verbose() {
	save_tiny "$1" t 96 || return 1
	verbosely /tmp/t.save || return 1
	! grep -vE '[0-9]:[0-9]+ left.*: [0-9]+/[0-9]+ +[0-9]+%' /tmp/progress || why "it does not say what is left" || return 1
	mkfifo /tmp/in.fifo
	(head -c 40000000 /tmp/t.save && sleep 5 && tail -c +40000001 /tmp/t.save) >/tmp/in.fifo &
	verbosely /tmp/in.fifo || return 1
	! grep -E 'left|%' /tmp/progress || why "it pretends to know how long a pipe is"
}

check_twenty() {
	local i=0 start same
	save_tiny "$1" t || return 1
	start=$(now)
	while [ $i -lt 20 ]; do
		restore "$1" /tmp/t.save -p
		[ $RC = 0 ] || why "restore $i: status $RC: $(first_error)" || return 1
		same=$(xr-lab memory "$(domid_of t)" /tmp/t.save) || why "restore $i: $same" || return 1
		xl destroy t
		i=$((i + 1))
	done
	fig "$(since "$start")s with comparing and destroying"
	left_nothing
}

check_two_at_once() {
	local a b ra rb start
	save_tiny "$1" a 32 "holes=1" && save_tiny "$1" b 48 "holes=0" || return 1
	trace_start
	start=$(now)
	LIBXL_SAVE_HELPER=/tmp/helper-$1 timed xl restore -p /tmp/a.save >/tmp/a.log 2>&1 &
	a=$!
	LIBXL_SAVE_HELPER=/tmp/helper-$1 timed xl restore -p /tmp/b.save >/tmp/b.log 2>&1 &
	b=$!
	wait $a
	ra=$?
	wait $b
	rb=$?
	spent "$start" 2
	trace_stop
	[ $ra = 0 ] || why "first: $(tail -1 /tmp/a.log)" || return 1
	[ $rb = 0 ] || why "second: $(tail -1 /tmp/b.log)" || return 1
	for a in a b; do
		check_domain "$1" $a /tmp/$a.save "$(xr-lab stream /tmp/$a.save)" || return 1
		guest_mark $a
		xl unpause $a
		tiny_verified || return 1
	done
}

# Save and restore of a Linux guest.
linux_restore() { # HELPER NAME TYPE MIB CMDLINE [XL-LINE...]
	local helper=$1 name=$2
	shift
	lab_create "$@" || why "cannot start the guest" || return 1
	save "$helper" "$name" || return 1
	traced_restore "$helper" "$name" "/tmp/$name.save" || return 1
	xl unpause "$name"
	guest_goes_on
}

# Two vcpus take turns.
on_two_cpus() {
	guest_goes_on || return 1
	guest_says '^tick .*cpu=0' >/dev/null && guest_says '^tick .*cpu=1' >/dev/null ||
		why "a vcpu did not come back: $(guest_says '^tick ' | tail -2 | tr '\n' ' ')"
}

check_pvh_linux() { linux_restore "$1" lpvh pvh 256 "fill=100" 'vcpus = 2' && on_two_cpus; }
check_hvm_linux() {
	[ -e /lab/boot/vmlinuz ] || why "no device model in this lab" || return 77
	linux_restore "$1" lhvm hvm 128 "fill=40"
}

# Populate on demand: maxmem above memory. What the stock restorer makes of the same file is the
# measure: restored right, or refused with a word.
check_pod() {
	local said
	save_tiny "$1" t 32 "holes=0" 'maxmem = 64' || return 1
	said=$(xr-lab stream /tmp/t.save) || why "cannot read the stream: $said" || return 1
	trace_start
	restore "$1" /tmp/t.save -p
	trace_stop
	if [ $RC != 0 ]; then
		[ -n "$(first_error)" ] || why "refused without a word" || return 1
		fig "refused: \"$(first_error)\""
		left_nothing || return 1
		restore stock /tmp/t.save -p
		[ $RC != 0 ] || why "refused, and the stock restorer takes it"
		return
	fi
	check_domain "$1" t /tmp/t.save "$said" || return 1
	xl unpause t
	tiny_verified
}

# What mapping and unmapping cost by each way that copy workers can go about it (../cost/main.c).
check_mapping_cost() {
	local workers line
	[ -x /lab/in/xr-mapping-cost ] || why "xr-mapping-cost is not here (--with)" || return 77
	lab_create cost tiny 288 "holes=0 dirty=0 check=0" || why "cannot start a guest" || return 1
	xl pause cost
	for workers in 1 2; do
		xr-mapping-cost "$(domid_of cost)" 0x1000 65536 $workers 3 >/tmp/cost ||
			why "it failed, see the log" || return 1
		while IFS= read -r line; do
			echo "$line"
			fig "${line%% *}/$workers=$(word us-per-page "$line")us"
		done </tmp/cost
	done
}
