#include "textflag.h"

// What a process runs instead of the functions of its vDSO. It is copied into other
// processes, so each of the three stands alone: it refers to nothing but its data, whose
// address replaces DATA. They are called as C functions are, and keep what those keep.
//
// Where in the data what is (type bend in vdso.go):
#define BASE 32(R9)
#define OFFSET 40(R9)
#define GAIN 48(R9)
#define PERIOD 56(R9)

#define DATA $0x6f72646561c10c4b
#define END LONG $0x6c646561; LONG $0x646e652d

#define CLOCK_GETTIME \
	MOVQ SP, SI; \
	MOVL $228, AX; \
	SYSCALL

// NANOS leaves in R8 the nanoseconds that the clock DI is to show. The kernel is asked, so
// that nothing of the function that it replaces is needed.
#define NANOS \
	SUBQ $24, SP; \
	CLOCK_GETTIME; \
	MOVQ 0(SP), R8; \
	IMUL3Q $1000000000, R8, R8; \
	ADDQ 8(SP), R8; \
	MOVQ DATA, R9; \
	MOVQ OFFSET, R10; \
	MOVQ GAIN, AX; \
	ORQ PERIOD, AX; \
	JEQ steady; \
	MOVL $1, DI; \
	CLOCK_GETTIME; \
	MOVQ 0(SP), AX; \
	IMUL3Q $1000000000, AX, AX; \
	ADDQ 8(SP), AX; \
	SUBQ BASE, AX; \
	JGE since; \
	XORL AX, AX; \
since: \
	MOVQ AX, DI; \
	IMULQ GAIN; \
	SHRQ $32, DX, AX; \
	ADDQ AX, R8; \
	MOVQ PERIOD, CX; \
	TESTQ CX, CX; \
	JEQ steady; \
	MOVQ DI, AX; \
	XORL DX, DX; \
	DIVQ CX; \
	TESTQ $1, AX; \
	JNE back; \
steady: \
	ADDQ R10, R8; \
back: \
	ADDQ $24, SP

// SECONDS leaves the seconds of R8 in AX, and the nanoseconds beyond in DX.
#define SECONDS \
	MOVQ R8, AX; \
	XORL DX, DX; \
	MOVL $1000000000, CX; \
	DIVQ CX

// int clock_gettime(clockid_t, struct timespec *): the real-time clock, the coarse one and
// that of atomic time are bent.
TEXT gettime<>(SB), NOSPLIT|NOFRAME, $0
	CMPL DI, $0
	JEQ  wall
	CMPL DI, $5
	JEQ  wall
	CMPL DI, $11
	JEQ  wall
	MOVL $228, AX
	SYSCALL
	RET
wall:
	PUSHQ SI
	NANOS
	POPQ SI
	SECONDS
	MOVQ AX, 0(SI)
	MOVQ DX, 8(SI)
	XORL AX, AX
	RET
	END

// int gettimeofday(struct timeval *, struct timezone *)
TEXT timeofday<>(SB), NOSPLIT|NOFRAME, $0
	PUSHQ DI
	TESTQ SI, SI
	JEQ   noZone
	XORL  DI, DI
	MOVL  $96, AX
	SYSCALL
noZone:
	CMPQ 0(SP), $0
	JEQ  done
	XORL DI, DI
	NANOS
	SECONDS
	MOVQ 0(SP), DI
	MOVQ AX, 0(DI)
	MOVQ DX, AX
	XORL DX, DX
	MOVL $1000, CX
	DIVQ CX
	MOVQ AX, 8(DI)
done:
	POPQ DI
	XORL AX, AX
	RET
	END

// time_t time(time_t *)
TEXT second<>(SB), NOSPLIT|NOFRAME, $0
	PUSHQ DI
	XORL  DI, DI
	NANOS
	SECONDS
	POPQ  DI
	TESTQ DI, DI
	JEQ   told
	MOVQ  AX, 0(DI)
told:
	RET
	END

// func clockCode() (gettime, timeofday, second unsafe.Pointer)
TEXT ·clockCode(SB), NOSPLIT, $0-24
	LEAQ gettime<>(SB), AX
	MOVQ AX, gettime+0(FP)
	LEAQ timeofday<>(SB), AX
	MOVQ AX, timeofday+8(FP)
	LEAQ second<>(SB), AX
	MOVQ AX, second+16(FP)
	RET

// func callGettime(code unsafe.Pointer, clock int64) (seconds, nanoseconds int64)
TEXT ·callGettime(SB), NOSPLIT, $32-32
	MOVQ code+0(FP), AX
	MOVQ clock+8(FP), DI
	LEAQ 0(SP), SI
	CALL AX
	MOVQ 0(SP), AX
	MOVQ AX, seconds+16(FP)
	MOVQ 8(SP), AX
	MOVQ AX, nanoseconds+24(FP)
	RET
