/* ptrace-syscall.c: a tracer that sees system calls: stops at entry and exit, changed calls and results, interrupted calls, SYSEMU; a small strace. */
#include "tracer.h"
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <time.h>

static volatile int handled;

static void handler(int signal)
{
	handled += signal;
}

static int syscall_with(pid_t pid, int signal)
{
	return (int)request(PTRACE_SYSCALL, pid, 0, (unsigned long)signal);
}

static void show_info(const char *name, pid_t pid)
{
	struct __ptrace_syscall_info info;
	memset(&info, 0, sizeof(info));
	long size = request(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), (unsigned long)&info);
	printf("%s: size %ld op %d arch %x", name, size, info.op, info.arch);
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
		printf(" nr %lu args %ld", info.entry.nr, (long)info.entry.args[0]);
	if (info.op == PTRACE_SYSCALL_INFO_EXIT)
		printf(" rval %ld error %d", info.exit.rval, info.exit.is_error);
	printf("\n");
}

static void entry_and_exit(void)
{
	pid_t child = traced_child(
		syscall(SYS_getpriority, 100, 2, 3, 4, 5, 6);
		close(-1);
		raise(SIGUSR1);
		syscall(SYS_getppid);
		syscall(SYS_exit, 5));
	printf("without TRACESYSGOOD\n");
	syscall_with(child, 0);
	next("entry", child);
	show_siginfo("it", child, child);
	struct registers regs = registers_of(child);
	printf("a0 %ld a1 %ld a7 %ld message %ld\n", (long)regs.A0, regs.A1, regs.A7, event_message(child));
	show_info("info", child);
	syscall_with(child, 0);
	next("exit", child);
	show_siginfo("it", child, child);
	regs = registers_of(child);
	printf("a0 %ld a1 %ld a7 %ld message %ld\n", (long)regs.A0, regs.A1, regs.A7, event_message(child));
	show_info("info", child);
	printf("with it\n");
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
	syscall_with(child, 0);
	next("entry", child);
	show_siginfo("it", child, child);
	show_info("info", child);
	syscall_with(child, 0);
	next("exit", child);
	show_siginfo("it", child, child);
	show_info("info", child);
	char part[40];
	memset(part, 1, sizeof(part));
	show("as much as fits", request(PTRACE_GET_SYSCALL_INFO, child, 10, (unsigned long)part));
	printf("%d %d %d\n", part[0], part[9], part[10]);
	/* gettid, getpid, tgkill of raise: until the signal comes. */
	int status;
	do {
		syscall_with(child, 0);
		waitpid(child, &status, 0);
	} while (WSTOPSIG(status) == (SIGTRAP | 0x80));
	printf("then: %s\n", status_text(status));
	show_info("info in a signal's stop", child);
	syscall_with(child, 0);
	do {
		waitpid(child, &status, 0);
		regs = registers_of(child);
		if (regs.A7 != SYS_getppid)
			syscall_with(child, 0);
	} while (regs.A7 != SYS_getppid);
	regs.A7 = SYS_getpid;
	set_registers(child, &regs);
	syscall_with(child, 0);
	next("it", child);
	regs = registers_of(child);
	printf("is now getpid: %s\n", regs.A0 == (unsigned long)child ? "yes" : "no");
	syscall_with(child, 0);
	next("entry", child);
	show_info("exit(2)", child);
	syscall_with(child, 0);
	next("the end", child);
}

static void changed(void)
{
	/* The arguments, the number and the result of each call are changed on the way. */
	pid_t child = traced_child(
		printf("getpid: %ld\n", syscall(SYS_getpid));
		errno = 0;
		printf("skipped: %ld, %s\n", syscall(SYS_getpid), strerrorname_np(errno));
		printf("skipped with a result: %ld\n", syscall(SYS_getpid));
		printf("first argument: %ld\n", syscall(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0));
		printf("%ld\n", syscall(SYS_lseek, 1234, 0, 0)));
	struct { int at; int entry; } todo[] = { { SYS_getpid, 0 }, { SYS_getpid, 1 }, { SYS_getpid, 2 }, { SYS_prctl, 3 }, { SYS_lseek, 4 } };
	int which = 0, status;
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
	for (int entry = 1;; entry ^= 1) {
		syscall_with(child, 0);
		waitpid(child, &status, 0);
		if (WIFEXITED(status))
			break;
		struct registers regs = registers_of(child);
		if (!entry && which == 1 && regs.A7 == SYS_getpid) {
			which++;
			regs.A0 = 12345;
			set_registers(child, &regs);
		} else if (entry && which >= 1 && which < 5 && (long)regs.A7 == todo[which - (which > 1)].at) {
			if (which == 1)
				continue;
		}
		if (!entry && which == 0 && regs.A7 == SYS_getpid) {
			regs.A0 = 4321;
			set_registers(child, &regs);
			which = 2;
			continue;
		}
		if (entry && which == 2 && regs.A7 == SYS_getpid) {
			regs.A7 = -1;
			set_registers(child, &regs);
			which = 3;
			continue;
		}
		if (entry && which == 3 && regs.A7 == SYS_getpid) {
			regs.A7 = -1;
			regs.A0 = 99;
			set_registers(child, &regs);
			which = 4;
			continue;
		}
		if (entry && which == 4 && regs.A7 == SYS_prctl) {
			/* Has no effect: the kernel has its own copy. */
			regs.A0 = PR_GET_KEEPCAPS;
			set_registers(child, &regs);
			which = 5;
			continue;
		}
		if (entry && which == 5 && regs.A7 == SYS_lseek) {
			regs.A7 = 5000;
			set_registers(child, &regs);
			which = 6;
			continue;
		}
		if (!entry && which == 6) {
			printf("unknown call: %ld\n", (long)regs.A0);
			which = 7;
		}
	}
	printf("the end: %s\n", status_text(status));
}

static void interrupted(void)
{
	/* What a debugger sees of calls that a signal interrupts, with and without a handler. */
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGUSR2, handler);
	action.sa_flags = 0;
	sigaction(SIGUSR2, &action, NULL);
	int fds[2];
	if (pipe(fds))
		return;
	char c = 0;
	pid_t child = traced_child(
		printf("read: %zd\n", read(fds[0], &c, 1));
		errno = 0;
		printf("read: %zd", read(fds[0], &c, 1));
		printf(", %s\n", error_name(errno));
		struct timespec t = { 0, 300000000 };
		errno = 0;
		printf("nanosleep: %ld", syscall(SYS_nanosleep, &t, NULL));
		printf(", %s\n", error_name(errno));
		errno = 0;
		printf("poll: %d", poll(NULL, 0, 200));
		printf(", %s\n", error_name(errno)));
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
	continue_with(child, 0);
	until_asleep(child);
	kill(child, SIGUSR1);
	next("a signal during read", child);
	struct registers regs = registers_of(child);
	unsigned long ecall = regs.pc;
	printf("a0 %s, a7 %ld\n", regs.A0 == (unsigned long)fds[0] ? "the descriptor" : "a result", regs.A7);
	continue_with(child, SIGUSR1);
	until_asleep(child);
	kill(child, SIGUSR2);
	next("another", child);
	regs = registers_of(child);
	printf("pc %s\n", regs.pc == ecall ? "the same" : "another");
	/* Suppressed: the call is made again; now with calls shown. */
	syscall_with(child, 0);
	next("entry again", child);
	show_info("info", child);
	if (write(fds[1], &c, 1) != 1)
		return;
	syscall_with(child, 0);
	next("exit", child);
	show_info("info", child);
	continue_with(child, 0);
	until_asleep(child);
	kill(child, SIGUSR2);
	next("during the second", child);
	syscall_with(child, SIGUSR2);
	int status = 0;
	for (int i = 0; i < 100; i++) {
		waitpid(child, &status, 0);
		regs = registers_of(child);
		if (regs.A7 == SYS_rt_sigreturn)
			break;
		syscall_with(child, 0);
	}
	show_info("sigreturn", child);
	syscall_with(child, 0);
	next("its end", child);
	show_info("then", child);
	continue_with(child, 0);
	until_asleep(child);
	kill(child, SIGWINCH);
	next("during nanosleep", child);
	regs = registers_of(child);
	printf("a7 %ld a0 %ld\n", regs.A7, regs.A0 > 4096 && (long)regs.A0 > 0 ? 4096 : (long)regs.A0);
	unsigned long stopped_at = regs.pc;
	syscall_with(child, SIGWINCH);
	next("restarted", child);
	regs = registers_of(child);
	printf("a7 %ld, pc %ld behind\n", regs.A7, regs.pc - stopped_at);
	syscall_with(child, 0);
	next("its end", child);
	show_info("it", child);
	continue_with(child, 0);
	until_asleep(child);
	kill(child, SIGUSR1);
	next("during poll", child);
	syscall_with(child, SIGUSR1);
	next("in the handler", child);
	continue_with(child, 0);
	next("the end", child);
	close(fds[0]);
	close(fds[1]);
}

static void emulated(void)
{
	pid_t child = traced_child(
		printf("emulated: %ld\n", syscall(SYS_getppid));
		_exit(0));
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
	int status;
	for (;;) {
		show("SYSEMU", request(31, child, 0, 0));
		next("entry", child);
		struct registers regs = registers_of(child);
		if (regs.A7 == SYS_getppid) {
			regs.A0 = 777;
			set_registers(child, &regs);
			break;
		}
		if (regs.A7 == SYS_tgkill || regs.A7 == SYS_rt_sigprocmask)
			printf("of raise\n");
	}
	continue_with(child, 0);
	waitpid(child, &status, 0);
	printf("the end: %s\n", status_text(status));
}

static void starting(char *self)
{
	/* A new program, a new process: which stops of calls there are. */
	char *const args[] = { self, "hello", NULL };
	pid_t child = traced_child(
		if (fork() == 0)
			_exit(2);
		execv("/proc/self/exe", args));
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEEXIT);
	int status;
	for (;;) {
		syscall_with(child, 0);
		waitpid(child, &status, 0);
		if (status >> 16)
			break;
	}
	printf("%s\n", status_text(status));
	show_info("at the event", child);
	pid_t grandchild = (pid_t)event_message(child);
	next("the new process", grandchild);
	show_info("info", grandchild);
	syscall_with(grandchild, 0);
	next("its first call", grandchild);
	struct __ptrace_syscall_info info;
	request(PTRACE_GET_SYSCALL_INFO, grandchild, sizeof(info), (unsigned long)&info);
	printf("op %d\n", info.op);
	continue_with(grandchild, 0);
	next("its exit", grandchild);
	continue_with(grandchild, 0);
	next("its end", grandchild);
	syscall_with(child, 0);
	next("SIGCHLD or the end of fork", child);
	for (;;) {
		syscall_with(child, 0);
		waitpid(child, &status, 0);
		if (status >> 16)
			break;
	}
	printf("%s\n", status_text(status));
	show_info("at exec", child);
	syscall_with(child, 0);
	next("the end of exec", child);
	show_info("it", child);
	continue_with(child, 0);
	next("exit", child);
	show_info("it", child);
	continue_with(child, 0);
	next("the end", child);
}

/* strace: the names of calls that a program without a C library's start would make, their results, its signals and its end. */
static void small_strace(void)
{
	static const struct { long nr; const char *name; } names[] = {
		{ SYS_getpid, "getpid" }, { SYS_write, "write" }, { SYS_kill, "kill" }, { SYS_exit_group, "exit_group" }, { SYS_rt_sigreturn, "rt_sigreturn" },
		{ SYS_nanosleep, "nanosleep" }, { SYS_brk, "brk" }, { SYS_munmap, "munmap" }, { SYS_getuid, "getuid" }, { SYS_close, "close" },
	};
	pid_t child = traced_child(
		syscall(SYS_getuid, 0);
		syscall(SYS_write, 1, "traced\n", 7);
		syscall(SYS_close, 1000);
		syscall(SYS_kill, (long)getpid(), SIGUSR1);
		struct timespec t = { 0, 1000 };
		syscall(SYS_nanosleep, &t, 0);
		syscall(SYS_munmap, 1, 1);
		syscall(SYS_exit_group, 3));
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
	int status, signal = 0;
	for (;;) {
		syscall_with(child, signal);
		signal = 0;
		waitpid(child, &status, 0);
		if (!WIFSTOPPED(status))
			break;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			signal = WSTOPSIG(status);
			printf("--- %s ---\n", strsignal(signal));
			continue;
		}
		struct __ptrace_syscall_info info;
		request(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), (unsigned long)&info);
		if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
			printf(" = %s%ld\n", info.exit.is_error ? "error " : "", info.exit.is_error ? -info.exit.rval : info.exit.rval > 7 ? 1000 : info.exit.rval);
			continue;
		}
		const char *name = "?";
		for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if ((long)info.entry.nr == names[i].nr)
				name = names[i].name;
		printf("%s(%lu)", name, info.entry.nr == SYS_kill || info.entry.nr == SYS_getpid || info.entry.nr == SYS_rt_sigreturn ? 0 : info.entry.args[0] > 4096 ? 4096 : info.entry.args[0]);
		fflush(stdout);
	}
	printf("\n+++ %s +++\n", status_text(status));
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		printf("%s of the new program\n", argv[1]);
		return 6;
	}
	entry_and_exit();
	changed();
	interrupted();
	emulated();
	starting(argv[0]);
	small_strace();
	return 0;
}
