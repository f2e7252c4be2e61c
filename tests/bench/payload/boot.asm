; SPDX-License-Identifier: MIT
; Boot sector that loads the bench payload from the sectors behind it to 0x100000 and enters it as a
; Multiboot loader would. -DSECTORS=n: length of the payload, at most 127 (one BIOS transfer).

        org 0x7c00
        bits 16
        cli
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov sp, 0x7c00
        mov si, packet
        mov ah, 0x42                    ; extended read; DL is the boot drive
        int 0x13
        jc dead
        in al, 0x92                     ; A20
        or al, 2
        out 0x92, al
        lgdt [gdt_ptr]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        jmp 0x08:protected

        bits 32
protected:
        mov eax, 0x10
        mov ds, eax
        mov es, eax
        mov ss, eax
        mov esi, 0x10000
        mov edi, 0x100000
        mov ecx, SECTORS * 128
        rep movsd
        mov esi, 0x100000               ; find the header; its last field is the entry
        cmp dword [esi], 0x1badb002
        jne dead
        mov eax, 0x2badb002
        xor ebx, ebx
        jmp [esi + 28]
dead:   hlt
        jmp dead

        align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff
        dq 0x00cf93000000ffff
gdt_ptr:
        dw $ - gdt - 1
        dd gdt
packet: db 16, 0
        dw SECTORS
        dw 0, 0x1000                    ; to 0x1000:0
        dq 1                            ; from the second sector
        times 510 - ($ - $$) db 0
        dw 0xaa55
