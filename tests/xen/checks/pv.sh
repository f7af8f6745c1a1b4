# SPDX-License-Identifier: LGPL-2.1-or-later
# The checks of PV guests. Sourced after checks.sh.

# The engine asks for large extents, libxenguest 4.17 for none: who restored shows.
restored_by() {
	if [ "$1" = stock ]; then
		[ "$(count 3)" = 0 ] || why "the stock restorer asked for large extents?"
	else
		[ "$(count 3)" -gt 0 ] || why "no large extent was asked for: was it the engine?"
	fi
}

check_pv_linux() { linux_restore "$1" lpv pv 128 "fill=50" && restored_by "$1"; }
check_pv_linux_smp() {
	linux_restore "$1" lpv pv 128 "fill=50" 'vcpus = 2' && on_two_cpus && restored_by "$1"
}

# ---- not on Debian's Xen (../hypervisor builds one) ----------------------------------------------

has_pv32() {
	xl info | grep -q '^xen_caps.*x86_32p' || why "this Xen runs no 32-bit PV guests (CONFIG_PV32)" || return 77
}

# Page tables of three levels, words of four bytes, a GDT, holes, and a cr3 above 4G where the frames are.
check_tiny_pv32() {
	has_pv32 || return
	lab_create t tiny-pv 32 "" || why "cannot start a guest: $(tail -1 /tmp/create.log)" || return 1
	save "$1" t && traced_restore "$1" t /tmp/t.save || return 1
	xl unpause t
	tiny_verified && restored_by "$1"
}

# Built with shadow paging, too, which logs what a PV guest writes.
check_tiny_pv32_migrate() {
	has_pv32 || return
	live "$1" m tiny-pv 32 "dirty=300 check=64 tick=50" && tiny_verified
}

check_pv_linux_migrate() {
	has_pv32 || return
	live "$1" lm pv 128 "fill=40 dirty=300 tick=100" 'vcpus = 2' && on_two_cpus
}

check_tiny_pv32_remus() {
	has_pv32 || return
	remus_guest=tiny-pv
	remus_to_cut "$1" 3 0 && remus_to_cut "$1" 2 100000
}
