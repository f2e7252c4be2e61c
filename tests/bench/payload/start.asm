; SPDX-License-Identifier: MIT
; Entry of the bench payload: a flat Multiboot 1 image for 0x100000. Turns paging on (identity, large
; pages), goes to long mode when assembled with -DLONG=1, clears .bss and calls bench_main.
;
; Enters as [Multiboot §3.2] says: 32-bit protected mode, flat segments, paging off. The Bochs boot
; sector (boot.asm) enters in the same way.

        extern bench_main, load_end, bss_start, bss_end

LOAD    equ 0x100000
MAGIC   equ 0x1badb002
FLAGS   equ 0x10000                     ; the addresses below are valid

        section .start progbits alloc exec align=16
        bits 32
header:
        dd MAGIC, FLAGS, -(MAGIC + FLAGS)
        dd header, LOAD, load_end, bss_end, entry

entry:
        cli
        lgdt [gdt_ptr]
        mov edi, bss_start
        mov ecx, bss_end
        sub ecx, edi
        shr ecx, 2
        xor eax, eax
        rep stosd
        mov esp, stack_end
%ifdef LONG
        ; one table a level; 1 GiB in 2 MiB pages [SDM-3A §5.5]
        mov dword [pml4], pdpt + 3
        mov dword [pdpt], pd + 3
        mov edi, pd
        mov eax, 0x83
        mov ecx, 512
.fill:  mov [edi], eax
        add eax, 0x200000
        add edi, 8
        loop .fill
        mov eax, pml4
        mov cr3, eax
        mov eax, cr4
        or eax, 1 << 5                  ; PAE
        mov cr4, eax
        mov ecx, 0xc0000080             ; EFER.LME
        rdmsr
        or eax, 1 << 8
        wrmsr
        mov eax, cr0
        or eax, 0x80000001
        mov cr0, eax
        jmp 0x18:long_mode
        bits 64
long_mode:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        call bench_main
%else
        ; 1 GiB in 4 MiB pages [SDM-3A §5.3]
        mov edi, pd
        mov eax, 0x83
        mov ecx, 256
.fill:  mov [edi], eax
        add eax, 0x400000
        add edi, 4
        loop .fill
        mov eax, pd
        mov cr3, eax
        mov eax, cr4
        or eax, 1 << 4                  ; PSE
        mov cr4, eax
        mov eax, cr0
        or eax, 0x80000001
        mov cr0, eax
        jmp 0x08:protected
protected:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        call bench_main
%endif
        hlt

        align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff           ; 0x08: 32-bit code
        dq 0x00cf93000000ffff           ; 0x10: data
        dq 0x00af9b000000ffff           ; 0x18: 64-bit code
gdt_ptr:
        dw $ - gdt - 1
        dd gdt, 0

        section .bss nobits alloc write align=4096
pml4:   resb 4096
pdpt:   resb 4096
pd:     resb 4096
        resb 65536
stack_end:
