# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell helpers for scripts in dom0 (busybox sh). Sourced.

GUEST_LOG=      # console log of the guest at hand
GUEST_LOG_POS=0 # what lies before is of an earlier life

lab_say() { echo "# $*" >/dev/ttyS1; } # seen even where stdout is redirected
now() { cut -d' ' -f1 /proc/uptime; }
since() { awk -v a="$1" '{ printf "%.1f", $1 - a }' /proc/uptime; }
# word NAME LINE: the value of name=value in LINE
word() { echo " $2" | sed -n "s/.* $1=\([^ ]*\).*/\1/p"; }

# Emulation is slow, and slower on a busy host: limits are multiples of the time the boot took.
lab_scale=$(awk -v b="${LAB_BOOT_SECONDS:-10}" 'BEGIN { s = b / 10; print s < 1 ? 1 : int(s + 1) }')
limit() { echo $(($1 * lab_scale)); }

# lab_config NAME TYPE MIB CMDLINE [XL-LINE...]: write a domain configuration, print its path.
# TYPE: tiny (PVH), tiny-pv (32-bit PV), pvh, pv, hvm
lab_config() {
	local name=$1 type=$2 mib=$3 args=$4 kernel=/lab/boot/vmlinux ramdisk=/lab/boot/guest.img
	shift 4
	case $type in
	tiny) type=pvh kernel=/lab/boot/tiny ramdisk= ;;
	tiny-pv) type=pv kernel=/lab/boot/tiny-pv ramdisk= ;;
	hvm) kernel=/lab/boot/vmlinuz ;;
	esac
	{
		printf 'name = "%s"\ntype = "%s"\nmemory = %s\nkernel = "%s"\n' "$name" $type "$mib" $kernel
		[ -z "$ramdisk" ] || printf 'ramdisk = "%s"\n' $ramdisk
		[ $type != hvm ] || printf 'vnc = 0\nsdl = 0\nvga = "none"\nserial = "none"\n'
		printf 'cmdline = "%s%s"\n' "${ramdisk:+console=hvc0 quiet }" "$args"
		# libxl gives a page per MiB; log-dirty mode and a p2m of 4K pages need more in a tiny guest,
		# which otherwise hangs in a migration
		[ $kernel != /lab/boot/tiny ] || echo 'shadow_memory = 2'
		printf 'on_crash = "destroy"\non_reboot = "destroy"\n'
		for line; do printf '%s\n' "$line"; done
	} >"/tmp/$name.cfg"
	echo "/tmp/$name.cfg"
}

# guest_mark NAME: look at NAME's console from here on
guest_mark() {
	GUEST_LOG=/var/log/xen/console/guest-$1.log
	GUEST_LOG_POS=$(stat -c %s "$GUEST_LOG" 2>/dev/null || echo 0)
}

guest_says() { tail -c +$((GUEST_LOG_POS + 1)) "$GUEST_LOG" 2>/dev/null | tr -d '\r' | grep -a "$1"; }

# late: a limit of time was met, so the machine may be to blame; `run` knows how busy it was
late() {
	touch /tmp/late
	return 1
}

# Subshells, so that a trace of the caller (set -x) isn't filled by polling.
# guest_wait PATTERN SECONDS: until the guest at hand has said it
guest_wait() (
	set +x
	i=0 n=$(limit $(($2 * 5)))
	until guest_says "$1" >/dev/null; do
		[ $i -lt "$n" ] || late || exit 1
		sleep .2
		i=$((i + 1))
	done
)

# guest_count N SECONDS: until it has said N more ticks
guest_count() (
	set +x
	i=0 n=$(limit $(($2 * 5)))
	to=$(($(guest_says '^tick ' | wc -l) + $1))
	until [ "$(guest_says '^tick ' | wc -l)" -ge $to ]; do
		[ $i -lt "$n" ] || late || exit 1
		sleep .2
		i=$((i + 1))
	done
)

# lab_create NAME TYPE MIB CMDLINE [XL-LINE...]: boot a guest, wait until it counts
# (an HVM guest goes through firmware and unpacks its kernel: slow)
lab_create() {
	guest_mark "$1"
	xl create -q "$(lab_config "$@")" >/tmp/create.log 2>&1 && guest_wait "^tick " $([ "$2" = hvm ] && echo 150 || echo 60)
}

trace_start() {
	rm -f /tmp/trace
	# 0x0010f000: memory events; a buffer that holds a large restore in case dom0 is slow to read
	xentrace -D -e 0x0010f000 -S 512 -s 50 /tmp/trace >/tmp/trace.log 2>&1 &
	TRACE_PID=$!
	# Until it catches signals: a SIGINT that comes earlier is ignored, as in any process in the
	# background, and would be waited for in vain.
	i=0
	until grep -q '^SigCgt:.*[2367abef]$' /proc/$TRACE_PID/status || [ $i -ge "$(limit 100)" ]; do
		sleep .1
		i=$((i + 1))
	done
	sleep .3
}

trace_stop() {
	kill -INT $TRACE_PID
	wait $TRACE_PID
}
