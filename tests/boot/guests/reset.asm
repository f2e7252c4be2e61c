; SPDX-License-Identifier: MIT
; A payload for tests of reset and of what real mode needs: says on COM1 what firmware left, then obeys one letter.
;
; It looks like a Linux kernel of boot protocol 2.00, so it is started at its 16-bit entry: labels
; are offsets in DS, ES and SS; CS is 20h paragraphs higher.
; Letters: 1 port 92h, 2 CF9h hard, 3 keyboard controller, 4 triple fault, 5 ACPI reset register,
; 6 jump to FFFF:0, 7 CF9h soft, r reset and return by shutdown code 0Ah, s SMI round trip,
; f x87 exception by IRQ 13, o APM power off.
        bits 16
        org 0

        times 0x1f1 db 0
        db 3                    ; setup sectors
        times 0x1fe - ($ - $$) db 0
        dw 0xaa55
        jmp short start
        db "HdrS"
        dw 0x0200
        times 0x211 - ($ - $$) db 0
        db 0                    ; loaded low
        times 0x240 - ($ - $$) db 0

start:  cld
        mov si, hello
        call print
        xor ax, ax              ; interrupt vectors
        mov es, ax
        mov al, 'i'
        xor di, di
        mov cx, 0x400
        call sum_memory
        mov al, 'b'             ; BIOS data: up to the timer ticks and from behind them
        mov di, 0x400
        mov cx, 0x6c
        call sum_memory
        mov al, 'B'
        mov di, 0x472
        mov cx, 0x8e
        call sum_memory
        call sum_cmos
        call sum_pci
        call sum_e820
        mov si, ready
        call print

read:   mov dx, 0x3fd
        in al, dx
        test al, 1
        jz read
        mov dx, 0x3f8
        in al, dx
        cmp al, '1'
        je by_port92
        cmp al, '2'
        je by_cf9
        cmp al, '3'
        je by_keyboard
        cmp al, '4'
        je by_triple_fault
        cmp al, '5'
        je by_acpi
        cmp al, '6'
        je by_jump
        cmp al, '7'
        je by_cf9_soft
        cmp al, 'r'
        je and_return
        cmp al, 's'
        je by_smi
        cmp al, 'f'
        je by_ferr
        cmp al, 'o'
        je power_off
        jmp read

by_port92:
        in al, 0x92
        and al, 0xfe
        out 0x92, al
        or al, 1
        out 0x92, al
        jmp wait_for_it
by_cf9: mov dx, 0xcf9
        mov al, 2
        out dx, al
by_acpi:
        mov dx, 0xcf9
        mov al, 6
        out dx, al
        jmp wait_for_it
by_cf9_soft:
        mov dx, 0xcf9
        mov al, 0
        out dx, al
        mov al, 4
        out dx, al
        jmp wait_for_it
by_keyboard:
        mov al, 0xfe
        out 0x64, al
        jmp wait_for_it
by_triple_fault:
        lidt [no_idt]
        int3
by_jump:
        xor ax, ax
        mov ds, ax
        mov word [0x472], 0
        jmp 0xffff:0
wait_for_it:
        cli
        hlt
        jmp wait_for_it

; Reset the processor and come back: CMOS shutdown code 0Ah jumps through 40:67.
and_return:
        xor ax, ax
        mov es, ax
        mov word [es:0x467], back - 0x200
        mov [es:0x469], cs
        mov al, 0x8f
        out 0x70, al
        mov al, 0x0a
        out 0x71, al
        jmp by_keyboard
back:   mov ax, cs
        sub ax, 0x20
        mov ds, ax
        mov ss, ax
        mov sp, 0x9000
        mov si, is_back
        call print
        jmp read

; Firmware's SMI handler runs and resumes: what is in registers must survive.
by_smi: mov ebx, 0x12345678
        mov ecx, 0x9abcdef0
        mov esi, 0x55aa55aa
        mov al, 0x42            ; no command that it knows
        out 0xb3, al
        out 0xb2, al
        nop
        cmp ebx, 0x12345678
        jne read
        cmp ecx, 0x9abcdef0
        jne read
        cmp esi, 0x55aa55aa
        jne read
        mov si, survived
        call print
        jmp read

; A division by zero, unmasked, with CR0.NE clear: IRQ 13 comes before the FWAIT, once.
by_ferr:
        cli
        xor ax, ax
        mov es, ax
        mov word [es:0x75 * 4], irq13 - 0x200
        mov [es:0x75 * 4 + 2], cs
        in al, 0x21
        and al, 0xfb            ; the cascade
        out 0x21, al
        in al, 0xa1
        and al, 0xdf            ; IRQ 13
        out 0xa1, al
        mov eax, cr0
        and eax, ~0x2e          ; NE, TS, EM, MP
        mov cr0, eax
        mov byte [faults], 0
        fninit
        fldcw [unmasked]
        sti
        fld1
        fldz
        fdivp
        fwait
        fnstsw ax               ; the handler cleared the exception
        cli
        fninit
        test al, 0x84
        jnz read
        cmp byte [faults], 1
        jne read
        test byte [status], 4   ; and saw it: ZE
        jz read
        mov si, interrupted
        call print
        jmp read
irq13:  push ax
        inc byte [faults]
        fnstsw [status]
        out 0xf0, al
        fnclex
        mov al, 0x20
        out 0xa0, al
        out 0x20, al
        pop ax
        iret

power_off:
        mov ax, 0x5300          ; installation check
        xor bx, bx
        int 0x15
        jc read
        mov ax, 0x5301          ; connect, real mode
        xor bx, bx
        int 0x15
        mov ax, 0x530e          ; driver version 1.2
        xor bx, bx
        mov cx, 0x0102
        int 0x15
        mov ax, 0x5307          ; everything off
        mov bx, 1
        mov cx, 3
        int 0x15
        jmp read

; ---- sums: EDX is the sum, AL names it ----

add:    add edx, eax            ; EAX joins the sum
        rol edx, 5
        ret

sum_memory:                     ; CX bytes at ES:DI
        push ax
        xor edx, edx
.next:  movzx eax, byte [es:di]
        call add
        inc di
        loop .next
        pop ax
        jmp report

sum_cmos:
        xor edx, edx
        mov cl, 0x0e
.next:  mov al, cl
        out 0x70, al
        in al, 0x71
        movzx eax, al
        call add
        inc cl
        cmp cl, 0x80
        jne .next
        mov al, 'c'
        jmp report

sum_pci:                        ; the whole configuration space of bus 0
        xor edx, edx
        mov ecx, 0x80000000
.next:  push edx
        mov dx, 0xcf8
        mov eax, ecx
        out dx, eax
        mov dx, 0xcfc
        in eax, dx
        pop edx
        call add
        add ecx, 4
        cmp ecx, 0x80010000
        jne .next
        mov al, 'p'
        jmp report

sum_e820:
        xor edx, edx
        xor ebx, ebx
.next:  push edx
        push ds
        pop es
        mov di, entry
        mov eax, 0xe820
        mov edx, 0x534d4150
        mov ecx, 20
        int 0x15
        pop edx
        jc .done
        mov si, entry
        mov cx, 5
.word:  lodsd
        call add
        loop .word
        test ebx, ebx
        jnz .next
.done:  mov al, 'e'

report: call putc
        mov al, '='
        call putc
        mov cx, 8
.digit: rol edx, 4
        mov al, dl
        and al, 15
        add al, '0'
        cmp al, '9'
        jbe .put
        add al, 'a' - '0' - 10
.put:   call putc
        loop .digit
        mov al, ' '

putc:   push dx
        push ax
        mov dx, 0x3fd
.full:  in al, dx
        test al, 0x20
        jz .full
        pop ax
        mov dx, 0x3f8
        out dx, al
        pop dx
        ret

print:  lodsb
        test al, al
        jz .done
        call putc
        jmp print
.done:  ret

hello:  db "[boot ", 0
ready:  db "ready]", 13, 10, 0
is_back: db "[back]", 13, 10, 0
survived: db "[resumed]", 13, 10, 0
interrupted: db "[irq 13]", 13, 10, 0
unmasked: dw 0x037b             ; ZM clear
status: dw 0
faults: db 0
no_idt: dw 0
        dd 0
entry:  times 20 db 0
        times 4 * 512 - ($ - $$) db 0
        times 512 db 0          ; the kernel proper
