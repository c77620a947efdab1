/* ptrace.c: tracing a child or another process: stops, signals, memory, registers, options, detaching, ends of tracers. */
#include "tracer.h"
#include <sys/prctl.h>

static volatile long word = 0x1122334455667788;
static volatile int handled;
static volatile int *volatile nowhere = (int *)16;

static void handler(int signal)
{
	handled += signal;
}

static void errors(void)
{
	unsigned long value;
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	show("not a tracee", request(PTRACE_CONT, child, 0, 0));
	show("no such process", request(PTRACE_CONT, 99999, 0, 0));
	show("attach to no process", request(PTRACE_ATTACH, 99999, 0, 0));
	show("attach to oneself", request(PTRACE_ATTACH, getpid(), 0, 0));
	show("attach to init", request(PTRACE_ATTACH, 0, 0, 0));
	show("seize with an address", request(PTRACE_SEIZE, child, 1, 0));
	show("seize with an unknown option", request(PTRACE_SEIZE, child, 0, 1 << 9));
	show("seize with a high option", request(PTRACE_SEIZE, child, 0, 1UL << 40));
	show("attach", request(PTRACE_ATTACH, child, 0, 0));
	next("after attach", child);
	show("attach twice", request(PTRACE_ATTACH, child, 0, 0));
	show("unknown request", request(12345, child, 0, 0));
	show("SINGLESTEP", request(PTRACE_SINGLESTEP, child, 0, 0));
	show("SINGLEBLOCK", request(33, child, 0, 0));
	show("SYSEMU_SINGLESTEP", request(32, child, 0, 0));
	show("PEEKUSR", request(PTRACE_PEEKUSER, child, 0, (unsigned long)&value));
	show("POKEUSR", request(PTRACE_POKEUSER, child, 0, 0));
	show("GETREGS", request(12, child, 0, (unsigned long)&value));
	show("CONT with a bad signal", request(PTRACE_CONT, child, 0, 65));
	show("DETACH with a bad signal", request(PTRACE_DETACH, child, 0, 65));
	show("SETOPTIONS unknown", request(PTRACE_SETOPTIONS, child, 0, 1 << 9));
	show("SETOPTIONS high", request(PTRACE_SETOPTIONS, child, 0, 1UL << 40));
	show("SETOPTIONS", request(PTRACE_SETOPTIONS, child, 0, 0xff));
	show("OLDSETOPTIONS", request(21, child, 0, PTRACE_O_EXITKILL));
	show("INTERRUPT without seize", request(PTRACE_INTERRUPT, child, 0, 0));
	show("LISTEN without seize", request(PTRACE_LISTEN, child, 0, 0));
	show("PEEK of nothing", request(PTRACE_PEEKDATA, child, 0, (unsigned long)&value));
	show("PEEK of a kernel address", request(PTRACE_PEEKDATA, child, -4096UL, (unsigned long)&value));
	show("PEEK to nowhere", request(PTRACE_PEEKDATA, child, (unsigned long)&word, 8));
	show("POKE of nothing", request(PTRACE_POKEDATA, child, 0, 0));
	show("GETSIGINFO to nowhere", request(PTRACE_GETSIGINFO, child, 0, 8));
	show("GETEVENTMSG to nowhere", request(PTRACE_GETEVENTMSG, child, 0, 8));
	show("GETSIGMASK of the wrong size", request(PTRACE_GETSIGMASK, child, 4, (unsigned long)&value));
	show("SETSIGMASK of the wrong size", request(PTRACE_SETSIGMASK, child, 16, (unsigned long)&value));
	show("GET_SYSCALL_INFO to nowhere", request(PTRACE_GET_SYSCALL_INFO, child, 88, 8));
	show("GET_SYSCALL_INFO of nothing", request(PTRACE_GET_SYSCALL_INFO, child, 0, 8));
	char regs[1000];
	struct iovec iov = { regs, 12 };
	show("GETREGSET of half a word", request(PTRACE_GETREGSET, child, NT_PRSTATUS, (unsigned long)&iov));
	iov.iov_len = sizeof(regs);
	show("GETREGSET unknown", request(PTRACE_GETREGSET, child, 77, (unsigned long)&iov));
	show("GETREGSET of vectors", request(PTRACE_GETREGSET, child, 0x900, (unsigned long)&iov));
	show("GETREGSET without iovec", request(PTRACE_GETREGSET, child, NT_PRSTATUS, 8));
	show("GETREGSET", request(PTRACE_GETREGSET, child, NT_PRSTATUS, (unsigned long)&iov));
	printf("general registers: %zu bytes\n", iov.iov_len);
	iov.iov_len = sizeof(regs);
	show("GETREGSET of floats", request(PTRACE_GETREGSET, child, NT_PRFPREG, (unsigned long)&iov));
	printf("floating-point registers: %zu bytes\n", iov.iov_len);
	iov.iov_len = 16;
	show("GETREGSET of two words", request(PTRACE_GETREGSET, child, NT_PRSTATUS, (unsigned long)&iov));
	printf("two words: %zu bytes\n", iov.iov_len);
	iov.iov_base = (void *)8;
	show("GETREGSET to nowhere", request(PTRACE_GETREGSET, child, NT_PRSTATUS, (unsigned long)&iov));
	show("SETREGSET from nowhere", request(PTRACE_SETREGSET, child, NT_PRSTATUS, (unsigned long)&iov));
	show("continue", continue_with(child, 0));
	show("continue while it runs", continue_with(child, 0));
	show("peek while it runs", request(PTRACE_PEEKDATA, child, (unsigned long)&word, (unsigned long)&value));
	show("KILL while it runs", request(PTRACE_KILL, child, 0, 0));
	next("after KILL", child);
	continue_with(child, 0);
	next("the end", child);
}

static void memory(void)
{
	static const char constant[] __attribute__((aligned(8))) = "read-only data..";
	char *shared = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *readonly = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *untouched = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *hidden = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t child = traced_child(
		printf("the tracee sees %lx, %c, %c, %d, %d\n", word, constant[0], constant[9], shared[0], untouched[PAGE]);
		mprotect(hidden, PAGE, PROT_READ);
		printf("and what was hidden: %d\n", hidden[0]);
		_exit(word == 42));
	long value = 0;
	show("peek", request(PTRACE_PEEKDATA, child, (unsigned long)&word, (unsigned long)&value));
	printf("value %lx\n", value);
	show("peek unaligned", request(PTRACE_PEEKTEXT, child, (unsigned long)&word + 3, (unsigned long)&value));
	printf("value %lx\n", value & 0xffffffffff);
	show("poke", request(PTRACE_POKEDATA, child, (unsigned long)&word, 42));
	show("poke read-only data", request(PTRACE_POKETEXT, child, (unsigned long)constant, 0x4141414141414141));
	show("poke shared memory", request(PTRACE_POKEDATA, child, (unsigned long)shared, 7));
	show("peek read-only shared memory", request(PTRACE_PEEKDATA, child, (unsigned long)readonly, (unsigned long)&value));
	show("poke read-only shared memory", request(PTRACE_POKEDATA, child, (unsigned long)readonly, 7));
	show("poke untouched memory", request(PTRACE_POKEDATA, child, (unsigned long)untouched + PAGE, 9));
	show("peek PROT_NONE", request(PTRACE_PEEKDATA, child, (unsigned long)hidden, (unsigned long)&value));
	show("poke PROT_NONE", request(PTRACE_POKEDATA, child, (unsigned long)hidden, 13));
	show("peek across an end", request(PTRACE_PEEKDATA, child, (unsigned long)hidden + 4 * PAGE - 4, (unsigned long)&value) == -1 ? -1 : 0);
	printf("the tracer sees %lx, %c, %d, %d\n", word, constant[0], shared[0], untouched[PAGE]);
	continue_with(child, 0);
	next("the end", child);
}

static void signals(void)
{
	signal(SIGUSR1, handler);
	signal(SIGUSR2, SIG_IGN);
	pid_t child = traced_child(
		raise(SIGUSR1);
		printf("handled %d\n", handled);
		raise(SIGUSR1);
		printf("handled %d\n", handled);
		raise(SIGUSR2);
		kill(getpid(), SIGWINCH);
		raise(SIGTERM);
		printf("SIGTERM was taken away\n");
		raise(SIGCHLD);
		sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 5 });
		printf("not reached\n"));
	show_siginfo("SIGSTOP", child, child);
	show_status("in a stop", child, "State:");
	show_status("in a stop", child, "TracerPid:\t0\n");
	continue_with(child, 0);
	next("a handled signal", child);
	show_siginfo("it", child, child);
	continue_with(child, SIGUSR1);
	next("again", child);
	continue_with(child, 0);
	next("an ignored signal", child);
	continue_with(child, SIGUSR2);
	next("one that is ignored by default", child);
	show_siginfo("it", child, child);
	continue_with(child, SIGWINCH);
	next("a fatal one", child);
	continue_with(child, 0);
	next("SIGCHLD", child);
	siginfo_t info;
	request(PTRACE_GETSIGINFO, child, 0, (unsigned long)&info);
	continue_with(child, SIGUSR1);
	next("a real-time signal", child);
	request(PTRACE_GETSIGINFO, child, 0, (unsigned long)&info);
	printf("value %d code %d\n", info.si_value.sival_int, info.si_code);
	continue_with(child, SIGRTMIN);
	next("the end", child);

	/* The tracer changes the signal, its information, or blocks it. */
	child = traced_child(
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		raise(SIGUSR2);
		printf("handled %d instead\n", handled);
		raise(SIGUSR2);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
		printf("handled %d in the end\n", handled);
		raise(SIGUSR2));
	continue_with(child, 0);
	next("a signal to change", child);
	continue_with(child, SIGUSR1);
	next("the next one", child);
	unsigned long mask = 0;
	show("GETSIGMASK", request(PTRACE_GETSIGMASK, child, 8, (unsigned long)&mask));
	printf("blocked: %lx\n", mask);
	mask = ~0UL;
	show("SETSIGMASK", request(PTRACE_SETSIGMASK, child, 8, (unsigned long)&mask));
	request(PTRACE_GETSIGMASK, child, 8, (unsigned long)&mask);
	printf("blocked: %lx\n", mask);
	mask = 1UL << (SIGUSR1 - 1);
	request(PTRACE_SETSIGMASK, child, 8, (unsigned long)&mask);
	continue_with(child, SIGUSR1);
	next("once unblocked", child);
	show_siginfo("from the tracer", child, child);
	continue_with(child, SIGUSR1);
	next("the last one", child);
	request(PTRACE_GETSIGINFO, child, 0, (unsigned long)&info);
	info.si_signo = SIGTERM;
	info.si_errno = 3;
	show("SETSIGINFO", request(PTRACE_SETSIGINFO, child, 0, (unsigned long)&info));
	show_siginfo("then", child, child);
	continue_with(child, SIGTERM);
	next("the end", child);

	/* Pending ones can be looked at. */
	child = traced_child(
		sigset_t set;
		sigfillset(&set);
		sigprocmask(SIG_SETMASK, &set, NULL);
		sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 1 });
		sigqueue(getpid(), SIGRTMIN + 1, (union sigval){ .sival_int = 2 });
		raise(SIGUSR1);
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigaddset(&set, SIGRTMIN);
		sigaddset(&set, SIGRTMIN + 1);
		sigprocmask(SIG_SETMASK, &set, NULL);
		raise(SIGTRAP));
	continue_with(child, 0);
	next("a trap", child);
	siginfo_t pending[4];
	struct { unsigned long off; unsigned flags; int nr; } args = { 0, 1, 4 };
	show("PEEKSIGINFO shared", request(PTRACE_PEEKSIGINFO, child, (unsigned long)&args, (unsigned long)pending));
	printf("%d %d\n", pending[0].si_value.sival_int, pending[1].si_value.sival_int);
	args.flags = 0;
	show("PEEKSIGINFO", request(PTRACE_PEEKSIGINFO, child, (unsigned long)&args, (unsigned long)pending));
	printf("%d\n", pending[0].si_signo);
	args.flags = 2;
	show("PEEKSIGINFO unknown", request(PTRACE_PEEKSIGINFO, child, (unsigned long)&args, (unsigned long)pending));
	show("KILL", request(PTRACE_KILL, child, 0, 0));
	next("the end", child);
}

static void breakpoints(void);
__attribute__((noinline)) static long twice(long n)
{
	return 2 * n;
}
static long (*volatile call_twice)(long) = twice;

static void breakpoints(void)
{
	pid_t child = traced_child(
		long sum = 0;
		for (int i = 0; i < 20000; i++)
			sum += call_twice(i);
		raise(SIGUSR1);
		for (int i = 0; i < 3; i++)
			printf("twice: %ld\n", call_twice(21));
		_exit((int)(sum % 100)));
	unsigned long old = 0, at = (unsigned long)twice;
	continue_with(child, 0);
	next("after a loop", child);
	show("peek text", request(PTRACE_PEEKTEXT, child, at, (unsigned long)&old));
	/* c.ebreak */
	show("poke text", request(PTRACE_POKETEXT, child, at, (old & ~0xffffUL) | 0x9002));
	continue_with(child, 0);
	for (int i = 0; i < 2; i++) {
		next("breakpoint", child);
		siginfo_t info;
		request(PTRACE_GETSIGINFO, child, 0, (unsigned long)&info);
		struct registers regs = registers_of(child);
		printf("pc %s, a0 %ld, si_code %d, si_addr %s\n", regs.pc == at ? "at it" : "elsewhere", regs.A0, info.si_code, info.si_addr == (void *)at ? "at it" : "elsewhere");
		/* Return in its stead. */
		regs.A0 = 1000 + i;
		regs.pc = regs.x[0];
		set_registers(child, &regs);
		continue_with(child, 0);
	}
	next("breakpoint", child);
	show("take it out", request(PTRACE_POKETEXT, child, at, old));
	continue_with(child, 0);
	next("the end", child);
	printf("the tracer's own: %ld\n", call_twice(21));

	/* The instruction of four bytes, and what its default action is. */
	child = traced_child(__asm__ volatile(".option push\n.option norvc\nebreak\n.option pop\n" ::: "memory"));
	continue_with(child, 0);
	next("ebreak", child);
	struct registers regs = registers_of(child);
	regs.pc += 4;
	set_registers(child, &regs);
	continue_with(child, 0);
	next("the end", child);
	child = traced_child(*nowhere = 1);
	continue_with(child, 0);
	next("a fault", child);
	siginfo_t info;
	request(PTRACE_GETSIGINFO, child, 0, (unsigned long)&info);
	printf("si_addr %p si_code %d\n", info.si_addr, info.si_code);
	continue_with(child, SIGSEGV);
	next("the end", child);
}

/* Each register has a value of its own at an ebreak; what they are after it goes to `out`. */
void set_all(unsigned long *out, const double *d, unsigned long fcsr);
__asm__(".text\n.balign 4\nset_all:\n"
	"addi sp, sp, -128\n"
	"sd ra, 0(sp)\n"
	"sd gp, 8(sp)\n"
	"sd tp, 16(sp)\n"
	"sd s0, 24(sp)\n"
	"sd s1, 32(sp)\n"
	"sd s2, 40(sp)\n"
	"sd s3, 48(sp)\n"
	"sd s4, 56(sp)\n"
	"sd s5, 64(sp)\n"
	"sd s6, 72(sp)\n"
	"sd s7, 80(sp)\n"
	"sd s8, 88(sp)\n"
	"sd s9, 96(sp)\n"
	"sd s10, 104(sp)\n"
	"sd s11, 112(sp)\n" 
	"fscsr a2\n fld f0, 0(a1)\n fld f31, 0(a1)\n mv t0, a0\n"
	".irp n, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n li x\\n, \\n\n.endr\n li x31, -31\n"
	".option push\n.option norvc\nebreak\n.option pop\n"
	".irp n, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n sd x\\n, 8 * \\n(t0)\n.endr\n"
	"fsd f0, 0(t0)\n fsd f31, 8(t0)\n csrr x6, fcsr\n sd x6, 16(t0)\n"
	"ld ra, 0(sp)\n"
	"ld gp, 8(sp)\n"
	"ld tp, 16(sp)\n"
	"ld s0, 24(sp)\n"
	"ld s1, 32(sp)\n"
	"ld s2, 40(sp)\n"
	"ld s3, 48(sp)\n"
	"ld s4, 56(sp)\n"
	"ld s5, 64(sp)\n"
	"ld s6, 72(sp)\n"
	"ld s7, 80(sp)\n"
	"ld s8, 88(sp)\n"
	"ld s9, 96(sp)\n"
	"ld s10, 104(sp)\n"
	"ld s11, 112(sp)\n" 
	"addi sp, sp, 128\n ret\n");

static void all_registers(void)
{
	pid_t child = traced_child({
		unsigned long out[32];
		double d = 1.5, f0, f31;
		set_all(out, &d, 0x60);
		memcpy(&f0, &out[0], 8);
		memcpy(&f31, &out[1], 8);
		__asm__ volatile("fscsr x0");
		printf("set:");
		for (int i = 3; i < 32; i++)
			if (i != 5)
				printf(" %ld", (long)out[i]);
		printf(", %g %g, fcsr %lx\n", f0, f31, out[2]);
	});
	continue_with(child, 0);
	next("ebreak", child);
	struct registers regs = registers_of(child);
	printf("x3 to x31 without x5:");
	for (int i = 3; i < 32; i++)
		if (i != 5)
			printf(" %ld", (long)regs.x[i - 1]);
	printf("\n");
	union {
		double f[33];
		unsigned long bits[33];
	} floats;
	struct iovec iov = { &floats, sizeof(floats) };
	show("floats", request(PTRACE_GETREGSET, child, NT_PRFPREG, (unsigned long)&iov));
	printf("f0 %g f31 %g fcsr %lx\n", floats.f[0], floats.f[31], floats.bits[32]);
	for (int i = 3; i < 32; i++)
		if (i != 5)
			regs.x[i - 1] += 100;
	regs.pc += 4;
	set_registers(child, &regs);
	floats.f[0] = -2.25;
	floats.f[31] = 1e10;
	floats.bits[32] = 0x41;
	iov.iov_len = sizeof(floats);
	show("set floats", request(PTRACE_SETREGSET, child, NT_PRFPREG, (unsigned long)&iov));
	continue_with(child, 0);
	next("the end", child);
}

static void programs(char *self)
{
	char *const args[] = { self, "echo", NULL };
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME);
		execv("/proc/self/exe", args);
		_exit(1);
	}
	next("exec without options", child);
	show_siginfo("it", child, child);
	struct registers regs = registers_of(child);
	printf("a0 %ld, a1 %s, a7 %ld, sp %s\n", regs.A0, regs.A1 ? "argv still" : "0", regs.A7, regs.SP ? "set" : "0");
	continue_with(child, 0);
	next("the end", child);
	child = traced_child(execv("/proc/self/exe", args));
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT);
	continue_with(child, 0);
	next("exec with the option", child);
	show_siginfo("it", child, child);
	printf("was called %s\n", event_message(child) == (unsigned long)child ? "the same" : "otherwise");
	continue_with(child, SIGUSR1);
	next("exit", child);
	show_siginfo("it", child, child);
	printf("status %lx\n", event_message(child));
	show_status("then", child, "State:");
	continue_with(child, SIGUSR1);
	next("the end", child);
	child = traced_child(raise(SIGTERM));
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACEEXIT);
	continue_with(child, 0);
	next("SIGTERM", child);
	continue_with(child, SIGTERM);
	next("exit", child);
	printf("status %lx\n", event_message(child));
	continue_with(child, 0);
	next("the end", child);
}

static void families(void)
{
	int options = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEVFORKDONE;
	pid_t child = traced_child({
		pid_t grandchild = fork();
		if (grandchild == 0)
			_exit(3);
		int status;
		waitpid(grandchild, &status, 0);
		printf("the child of the tracee %s\n", status_text(status));
		grandchild = vfork();
		if (grandchild == 0)
			_exit(4);
		waitpid(grandchild, &status, 0);
		printf("the second %s\n", status_text(status));
		_exit(5);
	});
	show("options", request(PTRACE_SETOPTIONS, child, 0, (unsigned long)options));
	continue_with(child, 0);
	next("fork", child);
	show_siginfo("it", child, child);
	struct registers regs = registers_of(child);
	printf("a0 at the event: %ld\n", (long)regs.A0);
	pid_t grandchild = (pid_t)event_message(child);
	next("the new process", grandchild);
	show_siginfo("it", grandchild, grandchild);
	regs = registers_of(grandchild);
	printf("a0 in the new process: %ld\n", (long)regs.A0);
	printf("its parent is %s\n", getpid() != child ? "the tracee" : "?");
	show("continue it", continue_with(grandchild, 0));
	next("its end", grandchild);
	continue_with(child, 0);
	next("SIGCHLD", child);
	continue_with(child, SIGCHLD);
	next("vfork", child);
	grandchild = (pid_t)event_message(child);
	next("the new process", grandchild);
	continue_with(child, 0);
	continue_with(grandchild, 0);
	next("its end", grandchild);
	next("vfork done", child);
	printf("message: %s\n", event_message(child) == (unsigned long)grandchild ? "the new process" : "another");
	continue_with(child, 0);
	next("SIGCHLD", child);
	continue_with(child, 0);
	next("the end", child);
	show("nobody is left", waitpid(-1, NULL, WNOHANG | __WALL));
}

static void leaving(void)
{
	/* Detaching with and without a signal. */
	signal(SIGUSR1, handler);
	pid_t child = traced_child(printf("free again, handled %d\n", handled); raise(SIGTERM));
	show("detach", request(PTRACE_DETACH, child, 0, SIGUSR1));
	next("the end", child);
	child = traced_child(raise(SIGTERM));
	show("detach with SIGKILL", request(PTRACE_DETACH, child, 0, SIGKILL));
	next("the end", child);
	child = traced_child(pause());
	kill(child, SIGKILL);
	next("killed in a stop", child);

	/* A tracer that is not the parent: who sees what, and what becomes of the tracee when it ends. */
	for (int kill_it = 0; kill_it < 2; kill_it++) {
		int ready[2], go[2];
		char c = 0;
		if (pipe(ready) || pipe(go))
			return;
		child = fork();
		if (child == 0) {
			close(go[1]);
			c = read(go[0], &c, 1) == 0;
			_exit(7);
		}
		close(go[0]);
		fflush(stdout);
		pid_t tracer = fork();
		if (tracer == 0) {
			show("seize", request(PTRACE_SEIZE, child, 0, kill_it ? PTRACE_O_EXITKILL : 0));
			show("interrupt", request(PTRACE_INTERRUPT, child, 0, 0));
			next("interrupted", child);
			show_siginfo("it", child, child);
			show_status("the tracee", child, "State:");
			struct registers regs = registers_of(child);
			printf("a0 %s, a7 %ld\n", regs.A0 == (unsigned long)go[0] ? "restored" : "not restored", regs.A7);
			fflush(stdout);
			if (write(ready[1], &c, 1) != 1)
				_exit(1);
			/* Leaves it stopped. */
			_exit(0);
		}
		if (read(ready[0], &c, 1) != 1)
			return;
		show("the parent sees nothing of the stop", waitpid(child, NULL, WNOHANG | WUNTRACED));
		next("the tracer", tracer);
		if (!kill_it)
			close(go[1]);
		next("the tracee", child);
		if (kill_it)
			close(go[1]);
		close(ready[0]);
		close(ready[1]);
	}

	/* A zombie that somebody else traces is the parent's only when the tracer has waited for it. */
	int go[2], ready[2];
	char c = 0;
	if (pipe(go) || pipe(ready))
		return;
	child = fork();
	if (child == 0) {
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		_exit(9);
	}
	fflush(stdout);
	pid_t tracer = fork();
	if (tracer == 0) {
		request(PTRACE_SEIZE, child, 0, 0);
		if (write(go[1], &c, 1) != 1)
			_exit(1);
		siginfo_t info = { 0 };
		waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
		printf("the tracer sees code %d status %d\n", info.si_code, info.si_status);
		fflush(stdout);
		if (write(ready[1], &c, 1) != 1 || read(go[0], &c, 1) != 1)
			_exit(1);
		next("the tracer", child);
		show("once more", waitpid(child, NULL, WNOHANG));
		fflush(stdout);
		_exit(0);
	}
	if (read(ready[0], &c, 1) != 1)
		return;
	show("the parent, before", waitpid(child, NULL, WNOHANG));
	if (write(go[1], &c, 1) != 1)
		return;
	next("the parent, then", child);
	next("the tracer", tracer);
}

static void permissions(void)
{
	pid_t root = fork();
	if (root == 0)
		for (;;)
			pause();
	expect_in_child({
		if (setgid(1000) || setuid(1000))
			_exit(1);
		show("attach to root's process", request(PTRACE_ATTACH, root, 0, 0));
		prctl(PR_SET_DUMPABLE, 1);
		int ready[2];
		char c;
		if (pipe(ready))
			_exit(1);
		pid_t child = fork();
		if (child == 0) {
			prctl(PR_SET_DUMPABLE, 0);
			if (write(ready[1], &c, 1) != 1)
				_exit(1);
			for (;;)
				pause();
		}
		if (read(ready[0], &c, 1) != 1)
			_exit(1);
		show("attach to one that may not be dumped", request(PTRACE_ATTACH, child, 0, 0));
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		child = fork();
		if (child == 0)
			for (;;)
				pause();
		show("attach to one's own", request(PTRACE_ATTACH, child, 0, 0));
		next("it", child);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	});
	show("PR_SET_PTRACER", prctl(PR_SET_PTRACER, getppid(), 0, 0, 0));
	show("of anybody", prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0));
	show("of nobody", prctl(PR_SET_PTRACER, 0, 0, 0, 0));
	show("of no process", prctl(PR_SET_PTRACER, 99999, 0, 0, 0));
	kill(root, SIGKILL);
	waitpid(root, NULL, 0);
	FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "r");
	int scope = -1;
	if (f && fscanf(f, "%d", &scope) == 1)
		printf("ptrace_scope %d\n", scope);
	expect_in_child({
		show("TRACEME", ptrace(PTRACE_TRACEME));
		show("TRACEME twice", ptrace(PTRACE_TRACEME));
	});
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		printf("%s of the new program\n", argv[1]);
		return 6;
	}
	errors();
	memory();
	signals();
	breakpoints();
	all_registers();
	programs(argv[0]);
	families();
	leaving();
	permissions();
	return 0;
}
