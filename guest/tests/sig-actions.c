// Signal actions, masks, pending sets, the order in which signals are taken, siginfo of senders, sigaltstack: as Linux does it.
#include "check.h"
#include <sys/ucontext.h>

static volatile int count, order[16], codes[16], values[16];
static void note(int sig, siginfo_t *info, void *context)
{
	(void)context;
	order[count] = sig;
	codes[count] = info->si_code;
	values[count++] = info->si_value.sival_int;
}
static void plain(int sig) { order[count++] = sig; }

static long raw_sigaction(int sig, const void *act, void *old, size_t size) { return syscall(SYS_rt_sigaction, sig, act, old, size); }

static void set(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	sigemptyset(&action.sa_mask);
	sigaction(sig, &action, NULL);
}

static void errors(void)
{
	struct { void *handler; unsigned long flags; unsigned long mask; } act = { SIG_IGN, 0xfffffff8UL, ~0UL }, old;
	show("sigaction 0", raw_sigaction(0, NULL, NULL, 8));
	show("sigaction 65", raw_sigaction(65, NULL, NULL, 8));
	show("sigaction size", raw_sigaction(SIGUSR1, NULL, NULL, 16));
	show("sigaction KILL", raw_sigaction(SIGKILL, &act, NULL, 8));
	show("sigaction KILL read", raw_sigaction(SIGKILL, NULL, &old, 8));
	show("sigaction STOP", raw_sigaction(SIGSTOP, &act, NULL, 8));
	show("sigaction fault", raw_sigaction(SIGUSR1, (void *)8, NULL, 8));
	show("sigaction old fault", raw_sigaction(SIGUSR1, NULL, (void *)8, 8));
	show("sigaction set", raw_sigaction(SIGUSR2, &act, NULL, 8));
	show("sigaction get", raw_sigaction(SIGUSR2, NULL, &old, 8));
	printf("flags %lx mask %lx\n", old.flags, old.mask);
	show("kill 0", kill(getpid(), 0));
	show("kill 65", kill(getpid(), 65));
	show("kill -1", kill(getpid(), -1));
	show("kill nobody", kill(30000, 0));
	show("kill no group", kill(-30000, SIGTERM));
	show("tkill 0", syscall(SYS_tkill, 0, SIGTERM));
	show("tgkill 0", syscall(SYS_tgkill, 0, getpid(), SIGTERM));
	show("tgkill wrong", syscall(SYS_tgkill, getppid(), getpid(), 0));
	show("tgkill self", syscall(SYS_tgkill, getpid(), getpid(), 0));
	show("sigprocmask how", syscall(SYS_rt_sigprocmask, 7, &(long){ 0 }, NULL, 8));
	show("sigprocmask how unread", syscall(SYS_rt_sigprocmask, 7, NULL, NULL, 8));
	show("sigprocmask size", syscall(SYS_rt_sigprocmask, 0, NULL, NULL, 4));
	show("sigpending size 4", syscall(SYS_rt_sigpending, &old, 4));
	show("sigpending size 16", syscall(SYS_rt_sigpending, &old, 16));
	siginfo_t info = { .si_signo = SIGUSR1, .si_code = SI_USER };
	show("sigqueueinfo other", syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info));
	info.si_code = SI_QUEUE;
	show("sigqueueinfo queue", syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info));
	show("sigqueueinfo fault", syscall(SYS_rt_sigqueueinfo, getpid(), 0, 8));
	show("tgsigqueueinfo 0", syscall(SYS_rt_tgsigqueueinfo, 0, 1, 0, &info));
}

static void queues(void)
{
	sigset_t all, old, pending;
	sigfillset(&all);
	for (int sig = 1; sig <= 40; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			set(sig, note, 0);
	sigprocmask(SIG_BLOCK, &all, &old);
	kill(getpid(), SIGTERM);
	kill(getpid(), SIGTERM);
	for (int i = 0; i < 3; i++)
		sigqueue(getpid(), 36, (union sigval){ .sival_int = i });
	sigqueue(getpid(), 35, (union sigval){ .sival_int = 7 });
	raise(SIGUSR1);
	kill(getpid(), SIGHUP);
	syscall(SYS_tgkill, getpid(), getpid(), SIGSEGV);
	sigqueue(getpid(), SIGUSR2, (union sigval){ .sival_int = 8 });
	sigpending(&pending);
	printf("pending");
	for (int sig = 1; sig < 65; sig++)
		if (sigismember(&pending, sig))
			printf(" %d", sig);
	printf("\n");
	// With all blocked in handlers by mask: each is taken in turn.
	count = 0;
	sigprocmask(SIG_SETMASK, &old, NULL);
	for (int i = count - 1; i >= 0; i--)
		printf("taken %d code %d value %d\n", order[i], codes[i], order[i] >= 34 || codes[i] == SI_QUEUE ? values[i] : 0);
}

static void flags(void)
{
	struct sigaction old;
	count = 0;
	set(SIGUSR1, note, SA_RESETHAND);
	raise(SIGUSR1);
	sigaction(SIGUSR1, NULL, &old);
	printf("resethand %d %s\n", count, old.sa_handler == SIG_DFL ? "default" : "kept");
	// Ignoring drops what is pending; so does a default that ignores.
	sigset_t one, pending;
	sigemptyset(&one);
	sigaddset(&one, SIGCHLD);
	sigaddset(&one, SIGUSR1);
	sigprocmask(SIG_BLOCK, &one, NULL);
	set(SIGUSR1, note, 0);
	set(SIGCHLD, note, 0);
	raise(SIGUSR1);
	raise(SIGCHLD);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigpending(&pending);
	printf("dropped %d %d\n", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGCHLD));
	// A blocked one that is ignored is still queued.
	raise(SIGUSR1);
	sigpending(&pending);
	printf("blocked and ignored %d\n", sigismember(&pending, SIGUSR1));
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	// An unblocked ignored one is not.
	raise(SIGUSR1);
	sigpending(&pending);
	printf("ignored %d\n", sigismember(&pending, SIGUSR1));
}

static volatile int depth, maximum, calls;
static void nested(int sig)
{
	if (++depth > maximum)
		maximum = depth;
	if (++calls < 3)
		raise(sig);
	depth--;
}
static void nesting(void)
{
	struct sigaction action = { .sa_handler = nested };
	sigaction(SIGUSR1, &action, NULL);
	maximum = 0;
	raise(SIGUSR1);
	printf("without NODEFER %d\n", maximum);
	action.sa_flags = SA_NODEFER;
	sigaction(SIGUSR1, &action, NULL);
	maximum = calls = 0;
	raise(SIGUSR1);
	printf("with NODEFER %d\n", maximum);
}

static void timedwait(void)
{
	sigset_t set_, old;
	siginfo_t info;
	struct timespec zero = { 0, 0 }, little = { 0, 1000000 }, bad = { 0, 1000000000 };
	sigemptyset(&set_);
	sigaddset(&set_, SIGUSR1);
	sigaddset(&set_, 40);
	sigprocmask(SIG_BLOCK, &set_, &old);
	show("timedwait none", sigtimedwait(&set_, &info, &zero));
	show("timedwait timeout", sigtimedwait(&set_, &info, &little));
	show("timedwait bad", sigtimedwait(&set_, &info, &bad));
	show("timedwait size", syscall(SYS_rt_sigtimedwait, &set_, &info, &zero, 4));
	show("timedwait fault", syscall(SYS_rt_sigtimedwait, 8, &info, &zero, 8));
	sigqueue(getpid(), 40, (union sigval){ .sival_int = 11 });
	sigqueue(getpid(), 40, (union sigval){ .sival_int = 12 });
	raise(SIGUSR1);
	for (int i = 0; i < 3; i++) {
		show("timedwait", sigtimedwait(&set_, &info, &zero));
		printf("signo %d code %d value %d mine %d\n", info.si_signo, info.si_code, info.si_signo == 40 ? info.si_value.sival_int : 0, info.si_pid == getpid());
	}
	pid_t parent = getpid();
	pid_t child = fork();
	if (child == 0) {
		until_asleep(parent);
		sigqueue(parent, 40, (union sigval){ .sival_int = 13 });
		_exit(0);
	}
	show("waitinfo", sigwaitinfo(&set_, &info));
	printf("from child %d value %d\n", info.si_pid == child, info.si_value.sival_int);
	waitpid(child, NULL, 0);
	// Another signal's handler ends the wait.
	set(SIGALRM, note, SA_RESTART);
	child = fork();
	if (child == 0) {
		until_asleep(parent);
		kill(parent, SIGALRM);
		_exit(0);
	}
	show("interrupted", sigwaitinfo(&set_, &info));
	waitpid(child, NULL, 0);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

static void suspend(void)
{
	sigset_t block, none, now;
	sigemptyset(&block);
	sigemptyset(&none);
	sigaddset(&block, SIGUSR1);
	sigaddset(&block, SIGUSR2);
	signal(SIGUSR1, plain);
	signal(SIGUSR2, plain);
	sigprocmask(SIG_BLOCK, &block, NULL);
	raise(SIGUSR1);
	raise(SIGUSR2);
	count = 0;
	sigaddset(&none, SIGUSR2);
	show("sigsuspend", sigsuspend(&none));
	printf("handlers %d first %d\n", count, order[0]);
	sigprocmask(SIG_SETMASK, NULL, &now);
	printf("mask back %d %d\n", sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
	sigprocmask(SIG_UNBLOCK, &block, NULL);
	printf("handlers %d then %d\n", count, order[1]);
}

static char stack[16384];
static volatile int on_stack, stack_flags;
static void *volatile link_mask;
static void stacked(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)info;
	stack_t now;
	char *here = (char *)&now;
	on_stack = here >= stack && here < stack + sizeof(stack);
	sigaltstack(NULL, &now);
	stack_flags = now.ss_flags;
	show("change inside", sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL));
	ucontext_t *uc = context;
	printf("uc_stack %d size %zu flags %d\n", uc->uc_stack.ss_sp == stack, uc->uc_stack.ss_size, uc->uc_stack.ss_flags);
}
static void altstack(void)
{
	stack_t old;
	show("altstack small", sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = 2047 }, NULL));
	show("altstack flags", sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = 8 }, NULL));
	show("altstack fault", syscall(SYS_sigaltstack, 8, 0));
	show("altstack", sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, &old));
	printf("before: flags %d size %zu\n", old.ss_flags, old.ss_size);
	set(SIGUSR1, stacked, SA_ONSTACK);
	raise(SIGUSR1);
	printf("on stack %d flags %d\n", on_stack, stack_flags);
	set(SIGUSR1, stacked, 0);
	raise(SIGUSR1);
	printf("on stack %d flags %d\n", on_stack, stack_flags);
	show("altstack autodisarm", sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack), .ss_flags = (int)(1U << 31) }, NULL));
	set(SIGUSR1, stacked, SA_ONSTACK);
	raise(SIGUSR1);
	printf("on stack %d flags %d\n", on_stack, stack_flags);
	sigaltstack(NULL, &old);
	printf("after: flags %x size %zu\n", old.ss_flags, old.ss_size);
	show("altstack disable", sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, &old));
	sigaltstack(NULL, &old);
	printf("disabled: flags %d size %zu\n", old.ss_flags, old.ss_size);
}

int main(void)
{
	errors();
	queues();
	flags();
	nesting();
	timedwait();
	suspend();
	altstack();
}
