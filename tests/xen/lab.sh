#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# lab.sh - boot a real Xen with a Debian dom0 under QEMU's software emulation and run a script there.
#
#   lab.sh [options] SCRIPT [FILE ...]
#
# Xen, the dom0 kernel, the toolstack and (where the host has none) QEMU itself come from Debian
# packages that are downloaded with apt into the cache and unpacked there, never installed. No KVM,
# no disk, no network, no boot loader, no root needed. SCRIPT runs as root under busybox sh in dom0;
# what it prints appears on our stdout and its exit status is ours.
#
# In dom0:  /lab/in      the FILEs, the cwd, first in PATH    (in memory)
#           /lab/out     the host directory of -o, read-write (9p)
#           /lab/boot    tiny, tiny-pv, vmlinux, vmlinuz, guest.img: what guests boot
#           /lab/lib.sh  shell helpers
#
#   -o DIR      host directory for results and logs      (./xen-lab)
#   -t SECONDS  limit for the whole run                  (900)
#   -m MIB      memory of the emulated machine           (3584)
#   -d MIB      memory of dom0                           (1280)
#   -P          boot dom0 as PVH instead of PV
#   -X FILE     another hypervisor than Debian's (xen.gz)
#   -Q          carry QEMU as device model for HVM guests
#   -x OPTIONS  more Xen command line
#   -k OPTIONS  more dom0 kernel command line
#   -n          prepare the cache only
#
# Environment: XR_LAB_CACHE (default ${XDG_CACHE_HOME:-~/.cache}/xenrestore-lab).
#
# Exit status: the script's; 77 what is needed is not here (said on stderr), packages in some seven
# minutes among it; 124 time limit; 125 dom0 never finished the script; 2 usage. Logs: DIR/logs;
# DIR/qemu.pid holds QEMU's process id.
set -euo pipefail

XV=4.17
FETCH_LIMIT=420 # s, for all packages; what has arrived by then is kept for the next time
HERE=$(cd "$(dirname "$0")" && pwd)
W=${XR_LAB_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xenrestore-lab}
S=$W/sysroot
LIBDIR=usr/lib/x86_64-linux-gnu
MODULES="xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xenfs virtio_pci 9pnet_virtio 9p"

say() { echo "lab: $*" >&2; }
usage() { say "$*"; exit 2; }
missing() { say "skip: $*"; exit 77; }

OUT=xen-lab LIMIT=900 MEM=3584 DOM0=1280 PVH='' DM='' XENOPTS='' KOPTS='' PREPARE='' XEN=''
while getopts o:t:m:d:x:k:X:PQnh o; do
	case $o in
	o) OUT=$OPTARG ;;
	t) LIMIT=$OPTARG ;;
	m) MEM=$OPTARG ;;
	d) DOM0=$OPTARG ;;
	P) PVH=1 ;;
	X) XEN=$OPTARG ;;
	Q) DM=1 ;;
	x) XENOPTS=$OPTARG ;;
	k) KOPTS=$OPTARG ;;
	n) PREPARE=1 ;;
	*) sed -n '3,/^set -/{/^set -/d;s/^# \{0,1\}//p}' "$0"; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
[ -n "$PREPARE" ] || [ $# -ge 1 ] || usage "no script named (-h for help)"
[ -z "$XEN" ] || [ -r "$XEN" ] || usage "no hypervisor $XEN"

# ---- packages ---------------------------------------------------------------------------------

[ "$(uname -m)" = x86_64 ] || missing "the lab needs an x86-64 host"
for tool in apt-get dpkg-deb gcc ld readelf xz gzip od; do
	command -v $tool >/dev/null || missing "no $tool on this host"
done
[ -e /$LIBDIR/libc.a ] || missing "no static C library (libc6-dev) on this host"
free=$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)
[ -n "$PREPARE" ] || [ "$free" -ge $((MEM + 256)) ] ||
	missing "only $free MiB of memory free; the emulated machine needs $MEM"
mkdir -p "$W"
exec 9>"$W/lock"
flock 9 # two runs must not build the cache at once

fetch_time() { echo $((SECONDS < FETCH_LIMIT ? FETCH_LIMIT - SECONDS : 1)); }

# unpack STAMP ROOT PACKAGE...: download packages with all they depend on, resolved against an empty
# system so that the answer doesn't depend on this host, and unpack them below ROOT
unpack() {
	local stamp=$W/stamp-$1 root=$2 debs=$W/debs-$1 apt=$W/apt-$1
	shift 2
	[ "$(cat "$stamp" 2>/dev/null)" != "$*" ] || return 0
	say "fetching $*"
	mkdir -p "$debs/partial" "$apt" "$root"
	: >"$apt/status"
	local opts=(-qq -y --no-install-recommends -o Debug::NoLocking=1
		-o "APT::Sandbox::User=$(id -un)" -o "Dir::State::status=$apt/status"
		-o "Dir::Cache=$apt" -o "Dir::Cache::archives=$debs/")
	if ! timeout "$(fetch_time)" apt-get "${opts[@]}" install --download-only "$@" >"$apt/log" 2>&1; then
		# An image that never ran update has no package lists; keep some of our own.
		mkdir -p "$W/lists/partial"
		timeout "$(fetch_time)" apt-get "${opts[@]}" -o "Dir::State::lists=$W/lists" update \
			>"$apt/log" 2>&1 &&
			timeout "$(fetch_time)" apt-get "${opts[@]}" -o "Dir::State::lists=$W/lists" install \
				--download-only "$@" >>"$apt/log" 2>&1 || {
			tail -n 5 "$apt/log" >&2
			missing "cannot fetch packages: $*"
		}
	fi
	local deb
	for deb in "$debs"/*.deb; do dpkg-deb -x "$deb" "$root"; done
	rm -rf "$debs" "$apt"
	echo "$*" >"$stamp"
}

unpack xen "$S" "xen-hypervisor-$XV-amd64" "xen-utils-$XV" xenstore-utils libxen-dev \
	linux-image-amd64 busybox-static kmod libseccomp2 liburing2
[ -z "$DM" ] || unpack dm "$W/dm" qemu-system-xen
QEMU=(qemu-system-x86_64)
if ! command -v qemu-system-x86_64 >/dev/null; then
	H=$W/host
	unpack qemu "$H" qemu-system-x86
	export QEMU_MODULE_DIR="$H/$LIBDIR/qemu"
	QEMU=("$H/lib64/ld-linux-x86-64.so.2" --library-path
		"$H/lib/x86_64-linux-gnu:$H/$LIBDIR:$H/$LIBDIR/pulseaudio"
		"$H/usr/bin/qemu-system-x86_64" -L "$H/usr/share/qemu" -L "$H/usr/share/seabios")
fi

BB=$S/bin/busybox
KV=$(cd "$S/lib/modules" && printf '%s\n' * | sort -V | tail -1)
[ -e "$S/lib/modules/$KV/modules.dep" ] || "$BB" depmod -b "$S" "$KV"

# ---- parts ------------------------------------------------------------------------------------

# Uncompressed: dom0 would have to unpack it under emulation.
pack() { (cd "$1" && find . | "$BB" cpio -o -H newc 2>/dev/null); }

needed() { readelf -d "$@" 2>/dev/null | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' | sort -u; }

# libs ROOT FILE...: copy into ROOT the shared libraries that FILEs need. Ours first: dom0's libc
# must be the one its tools were linked to; the host's is the last resort.
libs() {
	local root=$1 to=$1/lib/x86_64-linux-gnu l d todo new
	shift
	mkdir -p "$to"
	todo=$(needed "$@" || true)
	while [ -n "$todo" ]; do
		new=()
		for l in $todo; do
			[ ! -e "$to/$l" ] && [ ! -e "$W/base/lib/x86_64-linux-gnu/$l" ] || continue
			for d in "$S/lib/x86_64-linux-gnu" "$S/$LIBDIR" "$W/dm/lib/x86_64-linux-gnu" \
				"$W/dm/$LIBDIR" "$W/dm/$LIBDIR/pulseaudio" /lib/x86_64-linux-gnu; do
				[ -e "$d/$l" ] || continue
				cp -L "$d/$l" "$to/"
				new+=("$to/$l")
				break
			done
			[ -e "$to/$l" ] || say "warning: no library $l"
		done
		todo=
		[ ${#new[@]} = 0 ] || todo=$(needed "${new[@]}" || true)
	done
}

modules() {
	local root=$1 m f line
	mkdir -p "$root/lib/modules/$KV"
	cp "$S/lib/modules/$KV"/modules.{builtin,order} "$root/lib/modules/$KV/"
	for m in $MODULES; do
		line=$(grep -E "/${m//[-_]/[-_]}\.ko:" "$S/lib/modules/$KV/modules.dep") || continue
		for f in ${line%%:*} ${line#*:}; do
			mkdir -p "$root/lib/modules/$KV/${f%/*}"
			cp "$S/lib/modules/$KV/$f" "$root/lib/modules/$KV/$f"
		done
	done
	"$BB" depmod -b "$root" "$KV"
}

# The ELF kernel out of the bzImage: Xen (for dom0) and xl (for guests) would each unpack the xz
# payload under emulation, some seconds every time.
extract_kernel() {
	local z=$S/boot/vmlinuz-$KV at
	field() { od -An -tu"$2" -j $(($1)) -N "$2" "$z" | tr -d ' '; }
	at=$((($(field 0x1f1 1) + 1) * 512 + $(field 0x248 4)))
	# 4 less: the length of the unpacked kernel follows the xz stream
	dd if="$z" iflag=skip_bytes,count_bytes bs=64K status=none \
		skip=$at count=$(($(field 0x24c 4) - 4)) | xz -dc >"$W/vmlinux.tmp" ||
		missing "cannot unpack the kernel $z"
	mv "$W/vmlinux.tmp" "$W/vmlinux-$KV"
}

# build_tiny TO pvh|pv
build_tiny() {
	local g=$HERE/guest o=$W/obj/$2 f objects=()
	mkdir -p "$o"
	for f in start_$2.S $2.c xen.c memory.c main.c; do
		gcc -m32 -march=i686 -O2 -g -Wall -Wextra -Werror -std=gnu11 -ffreestanding -fno-pic \
			-fno-pie -fno-stack-protector -fcf-protection=none -mgeneral-regs-only \
			-fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns \
			-fno-delete-null-pointer-checks "-D${2^^}" \
			-idirafter "$S/usr/include" -c "$g/$f" -o "$o/$f.o"
		objects+=("$o/$f.o")
	done
	ld -m elf_i386 -nostdlib --build-id=none -z noexecstack --no-warn-rwx-segments -z max-page-size=4096 \
		-T "$g/$2.lds" -o "$1" "${objects[@]}"
}

build_tools() {
	gcc -O2 -g -Wall -Wextra -Werror -std=gnu11 -D_GNU_SOURCE -I"$S/usr/include" -o "$1/xr-lab" \
		"$HERE"/dom0/{xr-lab,domain,stream,damage,memory,p2m,tee}.c -L"$S/$LIBDIR" -lxenctrl \
		-lxenforeignmemory \
		-Wl,--allow-shlib-undefined
	gcc -O2 -g -Wall -Wextra -Werror -std=gnu11 -D_GNU_SOURCE -I"$S/usr/include" -fPIC -shared \
		-o "$1/count.so" "$HERE/dom0/count.c" -ldl
	gcc -O2 -g -Wall -Wextra -Werror -std=gnu11 -D_GNU_SOURCE -I"$S/usr/include" -o "$1/xr-colo" \
		"$HERE"/colo/{main,guest,parts}.c "$HERE"/dom0/{stream,memory}.c -L"$S/$LIBDIR" \
		-lxenctrl -lxenguest -lxenforeignmemory -lxenstore -Wl,--allow-shlib-undefined
}

build_base() {
	local r=$W/base g=$W/linux x=$S/usr/lib/xen-$XV
	say "building dom0 (Xen $XV, Linux $KV)"
	rm -rf "$r" "$g"
	mkdir -p "$r"/{bin,sbin,lib64,usr/bin,usr/sbin,etc/xen,lab/boot} "$r/usr/lib/xen-$XV"/{bin,boot} "$g/dev"
	[ -e "$W/vmlinux-$KV" ] || extract_kernel
	cp "$BB" "$r/bin/"
	cp "$x"/bin/{xl,libxl-save-helper,xenstored,xenconsoled,xen-init-dom0} "$r/usr/lib/xen-$XV/bin/"
	cp "$(find "$S/usr" -path '*bin/xentrace' -type f -size +8k | head -1)" "$r/usr/bin/" ||
		missing "no xentrace in the Xen packages"
	cp "$x/boot/hvmloader" "$r/usr/lib/xen-$XV/boot/"
	cp -a "$S"/usr/bin/xenstore* "$r/usr/bin/"
	cp "$S/etc/xen/xl.conf" "$r/etc/xen/"
	cp -L "$S/lib64/ld-linux-x86-64.so.2" "$r/lib64/"
	build_tools "$r/usr/bin"
	libs "$r" "$r/usr/lib/xen-$XV"/bin/* "$r"/usr/bin/*
	# pthread_cancel() loads it when it is called
	cp "$(find "$S" -name libgcc_s.so.1 | head -1)" "$r/lib/x86_64-linux-gnu/"
	echo 'root:x:0:0:root:/root:/bin/sh' >"$r/etc/passwd"
	echo 'root:x:0:' >"$r/etc/group"
	modules "$r"
	gcc -O2 -g -Wall -Wextra -Werror -std=gnu11 -D_GNU_SOURCE -static -o "$g/init" "$HERE/linux/init.c"
	pack "$g" | gzip -1 >"$r/lab/boot/guest.img"
	cp "$W/vmlinux-$KV" "$r/lab/boot/vmlinux"
	build_tiny "$r/lab/boot/tiny" pvh
	build_tiny "$r/lab/boot/tiny-pv" pv
	install -m 755 "$HERE/dom0/init" "$r/init"
	cp "$HERE/dom0/lib.sh" "$r/lab/"
	pack "$r" >"$W/base.cpio"
	zcat "$S/boot/xen-$XV-amd64.gz" >"$W/xen"
}

# QEMU as device model: the program, its libraries and its firmware, not the packages' rest.
build_dm() {
	local r=$W/dm-root
	rm -rf "$r"
	mkdir -p "$r/usr/libexec" "$r/usr/share" "$r/lab/boot"
	cp "$W/dm/usr/libexec/xen-qemu-system-i386" "$r/usr/libexec/"
	cp -aL "$W/dm/usr/share/seabios" "$r/usr/share/"
	cp -aL "$W/dm/usr/share/qemu" "$r/usr/share/" 2>/dev/null || true
	cp "$S/boot/vmlinuz-$KV" "$r/lab/boot/vmlinuz" # QEMU boots only a bzImage
	libs "$r" "$r"/usr/libexec/*
	pack "$r" >"$W/dm.cpio"
}

want="$(cat "$HERE"/lab.sh "$HERE"/{dom0,colo,guest,linux}/* | sha256sum | cut -c1-16) $KV"
if [ "$(cat "$W/stamp-base" 2>/dev/null)" != "$want" ]; then
	rm -f "$W/stamp-base" "$W/stamp-dm-root"
	build_base
	echo "$want" >"$W/stamp-base"
fi
if [ -n "$DM" ] && [ "$(cat "$W/stamp-dm-root" 2>/dev/null)" != "$want" ]; then
	build_dm
	echo "$want" >"$W/stamp-dm-root"
fi
[ -z "$PREPARE" ] || exit 0

# ---- this run ---------------------------------------------------------------------------------

SCRIPT=$1
shift
[ -r "$SCRIPT" ] || usage "cannot read $SCRIPT"
mkdir -p "$OUT/logs"
OUT=$(cd "$OUT" && pwd)
rm -f "$OUT/status"
T=$(mktemp -d "$W/run.XXXXXX")
trap 'rm -rf "$T"' EXIT
mkdir -p "$T/root/lab/in"
cp "$SCRIPT" "$T/root/lab/run.sh"
echo "LAB_MODULES='$MODULES'" >"$T/root/lab/run.env"
for f; do
	cp -aL "$f" "$T/root/lab/in/"
	if [ "$(head -c4 "$f" | tail -c3)" = ELF ]; then libs "$T/root" "$f"; fi
done
pack "$T/root" >"$T/run.cpio"
# The kernel unpacks concatenated archives in order.
cat "$W/base.cpio" ${DM:+"$W/dm.cpio"} "$T/run.cpio" >"$T/initrd"
if [ -n "$XEN" ]; then zcat "$XEN" >"$T/xen"; else cp "$W/xen" "$T/xen"; fi
ln "$W/vmlinux-$KV" "$T/vmlinux"
flock -u 9

# The CPU (seen with QEMU 7.2):
#   -smap     TCG reads the stack of an IRET to user mode with supervisor rights, so that a PV
#             kernel dies in its first IRET once Xen has SMAP on
#   -rdtscp   TCG reports an intercepted RDTSCP as RDTSC without saying where the next instruction
#             is; an HVM or PVH guest then spins on it
#   -pku      Linux in a PVH guest then finds the extended state inconsistent
# eager-fpu:  with lazy switching TCG mixes up the SSE registers of dom0 and HVM guests
# One CPU:    TCG's threads wait for each other as soon as the host has not that many idle cores
CPU=max,-smap,-rdtscp,-pku
DOM0OPTS="dom0_mem=${DOM0}M,max:${DOM0}M"
MACHINE=(-machine q35)
SHARE=(-device virtio-9p-pci,fsdev=lab,mount_tag=lab)
if [ -n "$PVH" ]; then
	# Its frames lie anywhere, so devices must go through the IOMMU.
	DOM0OPTS="$DOM0OPTS dom0=pvh"
	MACHINE=(-machine q35 -device amd-iommu)
	SHARE=(-device virtio-9p-pci,fsdev=lab,mount_tag=lab,disable-legacy=on,iommu_platform=on)
fi
rc=0 begun=$SECONDS
# shellcheck disable=SC2016 # for the inner shell
timeout -k 5 "$LIMIT" sh -c 'echo $$ >"$0"; exec "$@"' "$OUT/qemu.pid" "${QEMU[@]}" \
	-accel tcg,thread=multi,tb-size=512 "${MACHINE[@]}" -cpu "$CPU" -m "$MEM" -smp 1 \
	-nodefaults -display none -no-reboot -kernel "$T/xen" \
	-append "$DOM0OPTS console=com1 com1=115200 loglvl=all guest_loglvl=all spec-ctrl=eager-fpu $XENOPTS" \
	-initrd "$T/vmlinux console=hvc0 panic=1 ${KOPTS//,/,,},$T/initrd" \
	-serial "file:$OUT/logs/console.log" -serial stdio \
	-fsdev "local,id=lab,path=$OUT,security_model=none" "${SHARE[@]}" </dev/null || rc=$?
if [ $rc = 137 ] && [ $((SECONDS - begun)) -lt "$LIMIT" ]; then
	missing "QEMU was killed after $((SECONDS - begun))s, as for want of memory"
fi
if [ $rc = 124 ] || [ $rc = 137 ]; then
	say "time limit of ${LIMIT}s reached"
	exit 124
fi
if [ ! -s "$OUT/status" ]; then
	say "dom0 did not finish the script; the end of its console:"
	tail -n 25 "$OUT/logs/console.log" >&2 || true
	exit 125
fi
exit "$(cat "$OUT/status")"
