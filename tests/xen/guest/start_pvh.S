/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where Xen enters the guest: PVH, 32-bit protected mode, flat segments, no paging. */
	.section .note.Xen, "a", @note
	.balign	4
	.long	4
	.long	4
	.long	18			/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz	"Xen"
	.long	_start

	.text
	.globl	_start
_start:
	cli
	cld
	movl	$stack_top, %esp
	pushl	%ebx			/* struct start_info */
	call	guest_main
1:	hlt
	jmp	1b

	.bss
	.balign	4096
	.globl	hypercall_page
hypercall_page:
	.skip	4096
	.skip	8192
stack_top:

	.section .note.GNU-stack, "", @progbits
