/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where Xen enters the guest: 32-bit PV with PAE, in ring 1, with page tables of the builder's. */
	.macro	note type:req, text:vararg
	.balign	4
	.long	4
	.long	2f - 1f
	.long	\type
	.asciz	"Xen"
1:	\text
2:	.balign	4
	.endm

	.section .note.Xen, "a", @note
	note 6, .asciz "xr-tiny"		/* XEN_ELFNOTE_GUEST_OS */
	note 8, .asciz "generic"		/* LOADER */
	note 5, .asciz "xen-3.0"		/* XEN_VERSION */
	note 3, .long 0xc0000000		/* VIRT_BASE */
	note 4, .long 0				/* PADDR_OFFSET */
	note 1, .long _start			/* ENTRY */
	note 2, .long hypercall_page		/* HYPERCALL_PAGE */
	note 9, .asciz "yes"			/* PAE_MODE: with cr3 above 4G */

	.text
	.globl	_start
_start:
	cld
	movl	%esp, boot_stack
	movl	$stack_top, %esp
	pushl	%esi				/* struct start_info */
	call	guest_main
1:	jmp	1b

	.data
	.globl	boot_stack
boot_stack:
	.long	0

	.bss
	.balign	4096
	.globl	hypercall_page
hypercall_page:
	.skip	4096
	.skip	8192
stack_top:

	.section .note.GNU-stack, "", @progbits
