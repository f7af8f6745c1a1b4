# SPDX-License-Identifier: LGPL-2.1-or-later
# `xenrestore restore` into a domain that no toolstack knows, and `xenrestore verify` of that. Sourced
# after frame.sh. $1 is the name of a helper, which saves the guest.

# verify_says DOMID STATUS WORDS: what verify makes of the domain
verify_says() {
	local rc=0
	xenrestore verify /tmp/receipt --domid "$1" >/tmp/said 2>&1 || rc=$?
	cat /tmp/said
	[ $rc = "$2" ] || why "verify: status $rc, not $2: $(head -1 /tmp/said)" || return 1
	grep -q "$3" /tmp/said || why "verify does not say '$3'"
}

# verify_names DOMID REGION-END PFN BYTE: a bit of that byte is turned, and found
verify_names() {
	xr-lab spoil "$1" "$3" "$4" || why "cannot change page $3" || return 1
	verify_says "$1" 1 "differ    1 region" && verify_says "$1" 1 " to $2\$" || return 1
	xr-lab spoil "$1" "$3" "$4" # back to what it was
	verify_says "$1" 0 "the domain is as the receipt says"
}

# restored_by_hand DOMID: in its first, an inner and its last page a region's change is seen
restored_by_hand() {
	local start
	start=$(now)
	LD_PRELOAD=/usr/bin/count.so XR_COUNT=/tmp/count timed timeout -s KILL "$(limit 90)" xenrestore restore -q \
		--host xen --domid "$1" --receipt /tmp/receipt /tmp/t.save || why "restore: status $?" || return 1
	spent "$start"
	[ "$(word paused "$(xr-lab dom "$1")")" = 1 ] || why "the domain is not paused" || return 1
	same_memory "$1" /tmp/t.save || return 1
	verify_says "$1" 0 "the domain is as the receipt says" || return 1
	grep -q "a paused domain that never ran" /tmp/said || why "verify takes it for one that ran" || return 1
	verify_names "$1" 0x9ff 0x800 0 && verify_names "$1" 0x13ff 0x1234 2048 &&
		verify_names "$1" 0x1bff 0x1bff 4095 || return 1
	fig "$(sed -n "s/^compared  */compared /p" /tmp/said)"
}

check_receipt() {
	local id rc=0
	[ -x /lab/in/xenrestore ] || why "no xenrestore beside the helper" || return 77
	save_tiny "$1" t || return 1
	id=$(xr-lab create 40) || why "cannot create a domain" || return 1
	restored_by_hand "$id" || rc=1
	xr-lab destroy "$id" || why "cannot destroy domain $id" || rc=1
	return $rc
}

# What the helper is asked for by its environment, under xl
check_told() {
	local id rc=0
	[ -x /lab/in/xenrestore ] || why "no xenrestore beside the helper" || return 77
	save_tiny "$1" t || return 1
	export XENRESTORE_REPORT=/tmp/told-%d.html XENRESTORE_METRICS=/tmp/told-%d.prom \
		XENRESTORE_RECEIPT=/tmp/told-%d.json XENRESTORE_TRACE=/tmp/told-%d.trace XENRESTORE_OPTIONS="--workers 1"
	traced_restore "$1" t /tmp/t.save || rc=1
	unset XENRESTORE_REPORT XENRESTORE_METRICS XENRESTORE_RECEIPT XENRESTORE_TRACE XENRESTORE_OPTIONS
	[ $rc = 0 ] || return 1
	id=$(domid_of t)
	grep -q "^xenrestore_success{host=\"xen\",domid=\"$id\"} 1\$" "/tmp/told-$id.prom" || why "no metrics" || return 1
	grep -q "^xenrestore_workers{host=\"xen\",domid=\"$id\"} 1\$" "/tmp/told-$id.prom" || why "options are not heeded" || return 1
	grep -q '<html' "/tmp/told-$id.html" || why "no report" || return 1
	grep -q '"traceEvents"' "/tmp/told-$id.trace" || why "no trace" || return 1
	cp "/tmp/told-$id.json" /tmp/receipt
	verify_says "$id" 0 "the domain is as the receipt says" || return 1
	xl unpause t
	tiny_verified
}
