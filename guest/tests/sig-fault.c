// Signals that a program causes: codes, addresses and the registers that the handler sees and may change.
#include "check.h"
#include <sys/ucontext.h>

static volatile int code, signo;
static void *volatile address;
static volatile unsigned long at;
static int skip;
static void handler(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	signo = sig;
	code = info->si_code;
	address = info->si_addr;
	at = uc->uc_mcontext.__gregs[0];
	uc->uc_mcontext.__gregs[0] += skip;
}

extern char load_at[], illegal_at[], break_at[], amo_at[];
__attribute__((noinline)) static long do_load(volatile void *p)
{
	long value = 77;
	asm volatile(".option push\n.option norvc\n.globl load_at\nload_at: ld %0, 0(%1)\n.option pop" : "+r"(value) : "r"(p) : "memory");
	return value;
}

static void report(const char *what, void *pc, void *addr)
{
	printf("%s: %s code %d address %s pc %s\n", what, signo ? sigabbrev_np(signo) : "none", code, address == addr ? "ok" : "other", at == (unsigned long)pc ? "ok" : "other");
	signo = code = 0;
	address = NULL;
}

static double fp;
static void fp_handler(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	ucontext_t *uc = context;
	double bits;
	memcpy(&bits, &uc->uc_mcontext.__fpregs.__d.__f[18], 8);
	fp = bits;
	// Clobber what the interrupted code holds: it must come back.
	asm volatile("fcvt.d.l fs2, zero; fcvt.d.l ft3, zero" ::: "fs2", "ft3");
	uc->uc_mcontext.__gregs[18] += 5;
}

int main(void)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };
	for (int i = 0; i < 5; i++)
		sigaction((int[]){ SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE }[i], &action, NULL);
	skip = 4;
	char *page = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(page + PAGE, PAGE);
	printf("value %ld\n", do_load(page));
	report("no access", load_at, page);
	printf("value %ld\n", do_load(page + PAGE));
	report("nothing there", load_at, page + PAGE);
	printf("value %ld\n", do_load((void *)16));
	report("null", load_at, (void *)16);
	do_load((void *)0xffffffc000000000UL);
	report("kernel half", load_at, (void *)0xffffffc000000000UL);
	do_load((void *)0x0001000000000000UL);
	report("hole", load_at, (void *)0x0001000000000000UL);
	// Across the end of a mapping: the address is where the missing page begins.
	mprotect(page, PAGE, PROT_READ);
	int file = memfd_create("m", 0);
	char *map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	do_load(map);
	report("beyond the file", load_at, map);
	asm volatile(".option push\n.option norvc\n.globl illegal_at\nillegal_at: .word 0xffffffff\n.option pop");
	report("illegal", illegal_at, illegal_at);
	skip = 4;
	asm volatile(".option push\n.option norvc\n.globl break_at\nbreak_at: ebreak\n.option pop");
	report("ebreak", break_at, break_at);
	long words[2] = { 0, 0 };
	void *odd = (char *)words + 1;
	asm volatile(".globl amo_at\namo_at: amoadd.w zero, zero, (%0)" : : "r"(odd) : "memory");
	report("misaligned amo", amo_at, amo_at);
	// A jump to nowhere: pc is the target.
	skip = 0;
	if (!sigsetjmp(touch_back, 1)) {
		catch_faults();
		((void (*)(void))(page + PAGE))();
	}
	printf("jump: code %d address %s\n", touch_code, touch_address == page + PAGE ? "ok" : "other");
	if (!sigsetjmp(touch_back, 1))
		((void (*)(void))page)();
	printf("jump: code %d address %s\n", touch_code, touch_address == page ? "ok" : "other");

	action.sa_sigaction = fp_handler;
	sigaction(SIGUSR1, &action, NULL);
	long pid = getpid();
	register double held asm("fs2") = 2.5;
	register long reg asm("s2") = 10;
	asm volatile("" : "+f"(held), "+r"(reg));
	{
		register long a7 asm("a7") = SYS_tgkill;
		register long a0 asm("a0") = pid;
		register long a1 asm("a1") = pid;
		register long a2 asm("a2") = SIGUSR1;
		asm volatile("ecall" : "+r"(a0), "+f"(held), "+r"(reg) : "r"(a1), "r"(a2), "r"(a7) : "memory");
	}
	printf("fp in frame %g after %g register %ld\n", fp, held, reg);

	// A blocked or ignored fault kills.
	sigset_t segv;
	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	printf("blocked: %x\n", in_child(sigprocmask(SIG_BLOCK, &segv, NULL); do_load((void *)16)) & 0x7f);
	printf("ignored: %x\n", in_child(signal(SIGSEGV, SIG_IGN); do_load((void *)16)) & 0x7f);
	printf("default: %x\n", in_child(signal(SIGSEGV, SIG_DFL); do_load((void *)16)) & 0x7f);
	// A stack that cannot take the frame.
	printf("no stack: %x\n", in_child(asm volatile("li sp, 4096\nld a0, 16(zero)")) & 0x7f);
	// A frame that is not one.
	printf("sigreturn: %x\n", in_child(asm volatile("li sp, 4096\nli a7, 139\necall")) & 0x7f);
}
