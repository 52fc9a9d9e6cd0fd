# The boot sector: load the rest of the program, enter flat 32-bit mode, catch the timer's interrupt.
# The BIOS has put this sector to 0x7c00; sector 1 (parameters) goes to 0x7e00, the program behind it to 0x8000.
.code16
.globl _boot
_boot:
  cli
  xorw %ax, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movw $0x7c00, %sp
  movw $0x0210, %ax                 # BIOS: read 16 sectors
  movw $0x0002, %cx                 # from the second one on
  xorb %dh, %dh
  movw $0x7e00, %bx
  int $0x13
  jc stop
  lgdt gdtr
  movl %cr0, %eax
  orb $1, %al
  movl %eax, %cr0
  ljmp $8, $protected
stop:
  hlt
  jmp stop
.code32
protected:
  movw $16, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movl $0x7c00, %esp
  movl $(0x80000 + (tick - _boot + 0x7c00)), 0x840   # the gate of vector 8, where the BIOS has put IRQ 0
  movl $0x8e00, 0x844
  lidt idtr
  movb $0xfe, %al                   # mask all but the timer
  outb %al, $0x21
  movb $0xff, %al
  outb %al, $0xa1
  movl $0x8000, %eax
  jmp *%eax
tick:
  pushl %eax
  movb $0x20, %al
  outb %al, $0x20
  popl %eax
  iret
.p2align 2
gdt:
  .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:
  .word 23
  .long gdt
idtr:
  .word 0x7f
  .long 0x800
.org 510
  .word 0xaa55
