# SPDX-License-Identifier: LGPL-2.1-or-later
# The checks of checkpointed streams. Sourced after checks.sh.

# ---- Remus: `xl remus` to ourselves ---------------------------------------------------------------

# remus HELPER [N BYTES]: start to replicate guest r, so many bytes beyond the Nth checkpoint. The sender is xl in
# XL_PID and its helper; what was sent is kept in /tmp/r.stream.
remus() {
	local helper=$1
	shift
	rm -f /tmp/r.stream* /tmp/recv.status /var/log/xen/console/guest-r--incoming.log
	cat >/tmp/recv.sh <<-END
		#!/bin/busybox sh
		xr-lab tee /tmp/r.stream $* | xl migrate-receive -r 2>/tmp/recv.log
		echo \$? >/tmp/recv.status
	END
	chmod +x /tmp/recv.sh
	: >/tmp/helper.pids
	lab_create r "${remus_guest:-tiny}" 32 "dirty=300 check=16 tick=20" || why "cannot start a guest" || return 1
	trace_start
	BEGAN=$(now)
	LIBXL_SAVE_HELPER=/tmp/helper-$helper xl remus -F -n -d -i 300 -s "" r /tmp/recv.sh >/tmp/xl.log 2>&1 &
	XL_PID=$!
	echo $XL_PID >/tmp/pids
}

# Libxl unpauses a guest that takes over: paused once more, it stays as it was restored.
hold_incoming() { xl pause r--incoming; }

# The host of the sender is gone: toolstack, helper, and guest at once, so that its name is free.
kill_sender() {
	local helper
	helper=$(descendants $XL_PID | while read -r id; do
		! grep -q -e --save-domain "/proc/$id/cmdline" || echo "$id"
	done)
	[ -n "$helper" ] || why "the sender's helper is not there" || return 1
	kill -STOP $XL_PID $helper
	xl destroy r
	kill -KILL $XL_PID $helper
	wait $XL_PID
	rm -f /tmp/r.stream.cut
}

received() {
	until_true 60 test -e /tmp/recv.status
	cat /tmp/recv.log
	ps -o pid,ppid,stat,args | grep -v '\['
	[ -e /tmp/recv.status ] || why "xl migrate-receive hangs" || return 1
	spent "$BEGAN"
	trace_stop
}

# The tick at which the guest was suspended for the Nth checkpoint
suspended_at() { guest_says '^suspending at tick' | sed -n "$1s/.*tick \([0-9]*\).*/\1/p"; }

# unlike_before STREAM-LINE: that it is this checkpoint, and not the one before, can be seen
unlike_before() {
	local line
	[ "$(word pv "$1")" = 0 ] && [ "$(word checkpoints "$1")" -gt 1 ] || return 0
	truncate -s $(($(stat -c %s /tmp/r.stream) - $(word dropped "$1") - 8)) /tmp/r.stream
	line=$(xr-lab memory "$(domid_of r)" /tmp/r.stream 2>/dev/null)
	[ "$(word frames "$line")" -gt 0 ] && [ "$(word differ "$line")" -gt 0 ] ||
		why "cannot be told from the checkpoint before: $line"
}

# took_over HELPER N: the guest runs on from checkpoint N, paused until it has been compared
took_over() {
	local said want
	received || return 1
	[ "$(cat /tmp/recv.status)" = 0 ] || why "xl migrate-receive: $(tail -1 /tmp/recv.log)" || return 1
	said=$(xr-lab stream /tmp/r.stream) || why "cannot read the stream: $said" || return 1
	[ -z "$2" ] || [ "$(word checkpoints "$said")" = "$2" ] || why "the stream has $said" || return 1
	fig "checkpoint=$(word checkpoints "$said") dropped=$(word dropped "$said")"
	want=$(suspended_at "$(word checkpoints "$said")")
	check_domain "$1" r /tmp/r.stream "$said" && unlike_before "$said" || return 1
	GUEST_LOG=/var/log/xen/console/guest-r--incoming.log
	GUEST_LOG_POS=0
	xl unpause r
	tiny_verified || return 1
	guest_says "^resumed in a new domain at tick $want\$" ||
		why "$(guest_says ^resumed | head -1), suspended at $want" || return 1
	xl destroy r
	no_helpers || why "a helper is left"
}

# remus_to_cut HELPER N BYTES: the sender dies that far behind the Nth checkpoint
remus_to_cut() {
	remus "$1" "$2" "$3" || return 1
	until_true 90 test -e /tmp/r.stream.cut || why "no checkpoint $2: $(tail -1 /tmp/xl.log)" || return 1
	hold_incoming || why "the receiver has no domain" || return 1
	kill_sender && took_over "$1" "$2"
}

check_remus_cut() {
	remus_to_cut "$1" 3 0 && remus_to_cut "$1" 2 200000 && remus_to_cut "$1" 1 20
}

sent_checkpoints() {
	local n
	n=$(word checkpoints "$(xr-lab stream /tmp/r.stream 2>/dev/null)")
	[ "${n:-0}" -ge "$1" ]
}

# The sender dies when it pleases, and all that it has sent arrives.
check_remus_killed() {
	remus "$1" || return 1
	until_true 90 sent_checkpoints 4 || why "no checkpoints: $(tail -1 /tmp/xl.log)" || return 1
	hold_incoming && kill_sender && took_over "$1"
}

# Before the first checkpoint is complete there is nothing to take over.
check_remus_early() {
	remus "$1" 0 20000000 || return 1
	until_true 90 test -e /tmp/r.stream.cut || why "no image: $(tail -1 /tmp/xl.log)" || return 1
	kill_sender && received || return 1
	[ "$(cat /tmp/recv.status)" != 0 ] || why "it took over without a checkpoint" || return 1
	left_nothing
}

# ---- COLO: ../colo plays libxl and the primary ----------------------------------------------------

# colo_files HELPER [OPTION]: one guest in /tmp/first.save and, some ticks later, in /tmp/next.save. To its
# ticks in the second, and more, it is to run after each: in TICKS.
colo_files() {
	local at
	lab_create c tiny 32 "dirty=64 check=16 tick=20 say=1 ${2-}" || why "cannot start a guest" || return 1
	guest_mark c
	LIBXL_SAVE_HELPER=/tmp/helper-$1 xl save -c c /tmp/first.save >/tmp/save.log 2>&1 &&
		guest_wait 'the same domain' 30 &&
		LIBXL_SAVE_HELPER=/tmp/helper-$1 xl save c /tmp/next.save >/tmp/save.log 2>&1 ||
		why "xl save failed: $(tail -1 /tmp/save.log)" || return 1
	at=$(suspended_at 2)
	fig "ticks-between=$((at - $(suspended_at 1)))"
	export XR_COLO_TICKS="$((at + 20)) $((at + 40))"
}

# colo HELPER END: restore it, with two checkpoints, in which the guest runs here
colo() {
	cat >/tmp/helper-colo <<-END
		#!/bin/busybox sh
		exec xr-colo "\$@"
	END
	chmod +x /tmp/helper-colo
	export XR_COLO_HELPER=/tmp/helper-$1 XR_COLO_FIRST=/tmp/first.save XR_COLO_NEXT=/tmp/next.save
	export XR_COLO_END=$2
	guest_mark c
	restore colo /tmp/first.save -p
	fig "dirty=$(sed -n 's/^xr-colo: dirty=\([0-9]*\).*/\1/p' /tmp/xl.log | tr '\n' ,)"
}

colo_goes_on() { # HELPER END [OPTION]
	colo_files "$1" "${3-}" && colo "$1" "$2" || return 1
	[ $RC = 0 ] || why "$(grep -a '^xr-colo: ' /tmp/xl.log | tail -1)" || return 1
	xl unpause c
	guest_goes_on
}

check_colo_wait() { colo_goes_on "$1" wait; }
check_colo_cut() { colo_goes_on "$1" cut; }

# The guest shares a page with Xen where the stream has brought one of its own.
check_colo_shared() {
	colo_goes_on "$1" wait share=1 || return 1
	grep -a '^xr-colo: the guest shares page' /tmp/xl.log || why "it shared none"
}

# Without the list the primary would leave out what was written only here: the checks would see it.
check_colo_forgetful() {
	colo_files "$1" || return 1
	export XR_COLO_FORGET=1
	colo "$1" wait
	grep -a 'not the primary.s at checkpoint 2' /tmp/xl.log || why "nothing was missed" || return 1
	left_nothing
}
