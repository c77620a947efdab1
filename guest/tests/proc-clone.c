/* clone, clone3, vfork, unshare: which flags go together, what is shared, ids, pidfds, how threads and their futexes end. */
#include "check.h"
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct args3 {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};

static volatile int got_signal;
static void note(int sig)
{
	got_signal = sig;
}

static char stack_area[4][65536] __attribute__((aligned(16)));

/* The raw call; the child (0) goes on at the same place, so only without CLONE_VM. */
static long raw_clone(unsigned long flags, void *stack, int *parent, unsigned long tls, int *child)
{
	return syscall(SYS_clone, flags, stack, parent, tls, child);
}

static long clone3(struct args3 *args, size_t size)
{
	return syscall(SYS_clone3, args, size);
}

/* Tries flags; a child that came to be exits and is waited for. */
static void try_flags(const char *name, unsigned long flags)
{
	int parent = 0, child = 0;
	fflush(stdout);
	long pid = raw_clone(flags, NULL, &parent, 0, &child);
	if (pid == 0)
		_exit(0);
	if (pid < 0) {
		show_value(name, pid);
		return;
	}
	int status = 0;
	long got = waitpid(pid, &status, __WALL);
	printf("%s: child, waited %d, parent tid %d\n", name, got == pid, parent == pid);
}

static void flags(void)
{
	try_flags("SIGCHLD", SIGCHLD);
	try_flags("0", 0);
	try_flags("SIGWINCH", SIGWINCH);
	try_flags("signal 77", 77);
	try_flags("THREAD", CLONE_THREAD);
	try_flags("THREAD SIGHAND", CLONE_THREAD | CLONE_SIGHAND);
	try_flags("SIGHAND", CLONE_SIGHAND | SIGCHLD);
	try_flags("FILES", CLONE_FILES | SIGCHLD);
	try_flags("FS", CLONE_FS | SIGCHLD);
	try_flags("SYSVSEM", CLONE_SYSVSEM | SIGCHLD);
	try_flags("IO", CLONE_IO | SIGCHLD);
	try_flags("UNTRACED", CLONE_UNTRACED | SIGCHLD);
	try_flags("DETACHED", 0x400000 | SIGCHLD);
	try_flags("PARENT_SETTID", CLONE_PARENT_SETTID | SIGCHLD);
	try_flags("PIDFD and PARENT_SETTID", CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD);
	try_flags("PIDFD and DETACHED", CLONE_PIDFD | 0x400000 | SIGCHLD);
	try_flags("NEWNS FS", CLONE_NEWNS | CLONE_FS | SIGCHLD);
}

static void three(void)
{
	struct args3 a = { .exit_signal = SIGCHLD };
	show("clone3 size 0", clone3(&a, 0));
	show("clone3 size 63", clone3(&a, 63));
	show("clone3 size 5000", clone3(&a, 5000));
	show("clone3 bad pointer", clone3((void *)16, sizeof(a)));
	char big[200];
	memset(big, 0, sizeof(big));
	memcpy(big, &a, sizeof(a));
	long pid = clone3((void *)big, 200);
	if (pid == 0)
		_exit(3);
	show("clone3 larger, zero", pid > 0 && WEXITSTATUS(ended(pid)) == 3);
	big[199] = 1;
	show("clone3 larger, not zero", clone3((void *)big, 200));
	pid = clone3(&a, 64);
	if (pid == 0)
		_exit(4);
	show("clone3 version 0", pid > 0 && WEXITSTATUS(ended(pid)) == 4);
#define bad(text, ...)                                                             \
	do {                                                                       \
		struct args3 b = { .exit_signal = SIGCHLD, __VA_ARGS__ };          \
		show("clone3 " text, clone3(&b, sizeof(b)));                       \
	} while (0)
#pragma GCC diagnostic ignored "-Woverride-init"
	bad("exit signal 65", .exit_signal = 65);
	bad("exit signal 300", .exit_signal = 300);
	bad("exit signal huge", .exit_signal = 1UL << 40);
	bad("signal in flags", .flags = SIGCHLD);
	bad("unknown flag", .flags = 1UL << 40);
	bad("DETACHED", .flags = 0x400000);
	bad("stack without size", .stack = 4096);
	bad("size without stack", .stack_size = 4096);
	bad("stack beyond", .stack = 1UL << 62, .stack_size = 4096);
	bad("SIGHAND and CLEAR_SIGHAND", .flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND);
	bad("THREAD with exit signal", .flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM);
	bad("PARENT with exit signal", .flags = CLONE_PARENT);
	bad("set_tid without size", .set_tid = (unsigned long)big);
	bad("set_tid size without address", .set_tid_size = 1);
	bad("set_tid size 33", .set_tid = (unsigned long)big, .set_tid_size = 33);
	bad("set_tid bad address", .set_tid = 16, .set_tid_size = 1);
	bad("pidfd bad address", .flags = CLONE_PIDFD, .pidfd = 16);

	int tid = 0;
	bad("set_tid 0", .set_tid = (unsigned long)&tid, .set_tid_size = 1);
	tid = -5;
	bad("set_tid negative", .set_tid = (unsigned long)&tid, .set_tid_size = 1);
	tid = 1 << 30;
	bad("set_tid too large", .set_tid = (unsigned long)&tid, .set_tid_size = 1);
	tid = 1;
	bad("set_tid in use", .set_tid = (unsigned long)&tid, .set_tid_size = 1);
	int two[2] = { 20000, 20001 };
	bad("set_tid of two", .set_tid = (unsigned long)two, .set_tid_size = 2);
	tid = 20007;
	struct args3 b = { .exit_signal = SIGCHLD, .set_tid = (unsigned long)&tid, .set_tid_size = 1 };
	pid = clone3(&b, sizeof(b));
	if (pid == 0)
		_exit(getpid() == 20007 ? 5 : 6);
	show("set_tid", pid);
	show("set_tid exit", WEXITSTATUS(ended(pid)));
	in_child({
		setresuid(7, 7, 7);
		show("set_tid without privilege", clone3(&b, sizeof(b)));
	});

	int pidfd = -1;
	b = (struct args3){ .flags = CLONE_PIDFD, .pidfd = (unsigned long)&pidfd, .exit_signal = SIGCHLD };
	pid = clone3(&b, sizeof(b));
	if (pid == 0) {
		pause();
		_exit(1);
	}
	show("pidfd is close on exec", fcntl(pidfd, F_GETFD) == FD_CLOEXEC);
	struct pollfd p = { pidfd, POLLIN, 0 };
	show("poll while it lives", poll(&p, 1, 0));
	show("signal through it", syscall(424, pidfd, SIGTERM, NULL, 0));
	show("poll", poll(&p, 1, 10000));
	printf("revents %x\n", p.revents);
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	show("waitid by pidfd", waitid(P_PIDFD, pidfd, &info, WEXITED));
	printf("code %d status %d\n", info.si_code, info.si_status);
	show("signal when it is gone", syscall(424, pidfd, SIGTERM, NULL, 0));
	close(pidfd);

	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, note);
	b = (struct args3){ .flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
	fflush(stdout);
	pid = clone3(&b, sizeof(b));
	if (pid == 0) {
		struct sigaction one, two;
		sigaction(SIGUSR1, NULL, &one);
		sigaction(SIGUSR2, NULL, &two);
		printf("after CLEAR_SIGHAND: USR1 %s USR2 %s\n", one.sa_handler == SIG_IGN ? "ignored" : "?", two.sa_handler == SIG_DFL ? "default" : "?");
		fflush(stdout);
		_exit(0);
	}
	ended(pid);
}

/* Sharing */

static volatile int shared_word;

static int child_of_sharing(void *arg)
{
	shared_word++;
	close((long)arg);
	chdir("/tmp");
	umask(033);
	signal(SIGUSR2, SIG_IGN);
	return 9;
}

static void share(const char *name, int bits)
{
	shared_word = 0;
	chdir("/");
	umask(022);
	signal(SIGUSR2, SIG_DFL);
	int fd = dup(1), status = 0;
	char cwd[64];
	fflush(stdout);
	pid_t pid = clone(child_of_sharing, stack_area[0] + sizeof(stack_area[0]), bits, (void *)(long)fd);
	if (pid < 0) {
		show_value(name, pid);
		return;
	}
	waitpid(pid, &status, __WALL);
	getcwd(cwd, sizeof(cwd));
	printf("%s: exit %d word %d fd %s cwd %s umask %o handler %s\n", name, WEXITSTATUS(status), shared_word, fcntl(fd, F_GETFD) < 0 ? "closed" : "open",
	       cwd, umask(022), signal(SIGUSR2, SIG_DFL) == SIG_IGN ? "changed" : "same");
	close(fd);
}

static void sharing(void)
{
	share("nothing", SIGCHLD);
	share("VM", CLONE_VM | SIGCHLD);
	share("VM VFORK", CLONE_VM | CLONE_VFORK | SIGCHLD);
	share("FILES", CLONE_FILES | SIGCHLD);
	share("FS", CLONE_FS | SIGCHLD);
	share("VM SIGHAND", CLONE_VM | CLONE_SIGHAND | SIGCHLD);
	share("VM FILES FS SIGHAND", CLONE_VM | CLONE_FILES | CLONE_FS | CLONE_SIGHAND | SIGCHLD);
	umask(022);
	signal(SIGUSR2, SIG_DFL);
	chdir("/");
}

/* Ids: parents, exit signals, tids in memory */

static int quick_exit_child(void *arg)
{
	return (int)(long)arg;
}

static void ids(void)
{
	int parent_tid = 0, child_tid = 0;
	fflush(stdout);
	long pid = raw_clone(CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, NULL, &parent_tid, 0, &child_tid);
	if (pid == 0)
		_exit(child_tid == getpid() && parent_tid == getpid() ? 1 : child_tid == getpid() ? 2 : 3);
	printf("tids: parent's %d child's %d exit %d\n", parent_tid == pid, child_tid, WEXITSTATUS(ended(pid)));

	signal(SIGUSR1, note);
	pid = raw_clone(SIGUSR1, NULL, NULL, 0, NULL);
	if (pid == 0)
		_exit(1);
	while (!got_signal)
		usleep(1000);
	printf("exit signal %d\n", got_signal);
	show("wait does not see it", waitpid(pid, NULL, WNOHANG));
	show("wait with __WCLONE", waitpid(pid, NULL, __WCLONE) == pid);
	pid = raw_clone(SIGCHLD, NULL, NULL, 0, NULL);
	if (pid == 0)
		_exit(1);
	show("__WCLONE does not see a plain child", waitpid(pid, NULL, __WCLONE));
	show("__WALL does", waitpid(pid, NULL, __WALL) == pid);

	int status = in_child({
		pid_t me = getpid(), up = getppid();
		pid_t sibling = raw_clone(CLONE_PARENT, NULL, NULL, 0, NULL);
		if (sibling == 0)
			_exit(getppid() == up ? 21 : 22);
		expect_is(waitpid(sibling, NULL, __WALL), -1, "a sibling is not waited for");
		(void)me;
	});
	printf("CLONE_PARENT: exit %d\n", WEXITSTATUS(status));
	int code = 0;
	show("the sibling is ours", wait(&code) > 0);
	printf("its exit %d\n", WEXITSTATUS(code));
	show("no more children", wait(NULL));

	/* A child in the same memory that clears its tid and wakes us. */
	static volatile int tid;
	tid = 77;
	pid = clone(quick_exit_child, stack_area[1] + sizeof(stack_area[1]), CLONE_VM | CLONE_CHILD_CLEARTID | SIGCHLD, (void *)5, NULL, NULL, &tid);
	while (tid)
		syscall(SYS_futex, &tid, FUTEX_WAIT, 77, NULL, NULL, 0);
	printf("cleared tid %d exit %d\n", tid, WEXITSTATUS(ended(pid)));
	pid = clone(quick_exit_child, stack_area[1] + sizeof(stack_area[1]), CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)6, NULL, NULL, NULL);
	printf("vfork is over when clone returns: %d exit %d\n", waitpid(pid, &status, WNOHANG) >= 0, 6);
	if (WEXITSTATUS(status) != 6)
		ended(pid);
	show("set_tid_address", syscall(SYS_set_tid_address, &parent_tid) == syscall(SYS_gettid));
}

/* Threads */

static pthread_barrier_t barrier;
static int thread_tid;

static void *thread_exec_exit(void *arg)
{
	(void)arg;
	thread_tid = syscall(SYS_gettid);
	pthread_barrier_wait(&barrier);
	pause();
	return NULL;
}

static void *exit_thread(void *arg)
{
	(void)arg;
	usleep(20000);
	syscall(SYS_exit, 3);
	return NULL;
}

static void threads(void)
{
	pthread_t thread;
	pthread_barrier_init(&barrier, NULL, 2);
	int status = in_child({
		pthread_create(&thread, NULL, thread_exec_exit, NULL);
		pthread_barrier_wait(&barrier);
		show("tkill 0", syscall(SYS_tkill, thread_tid, 0));
		show("tgkill", syscall(SYS_tgkill, getpid(), thread_tid, 0));
		show("tgkill of another group", syscall(SYS_tgkill, getppid(), thread_tid, 0));
		show("getpgid of a thread", getpgid(thread_tid) == getpgrp());
		show("kill of a thread's id", kill(thread_tid, 0));
		show("setpgid of a thread's id", setpgid(thread_tid, 0));
		show("threads", proc_number("/proc/self/status", "Threads:"));
		_exit(4);
	});
	printf("exit_group by the leader: %d\n", WEXITSTATUS(status));
	fflush(stdout);
	status = in_child({
		pthread_create(&thread, NULL, exit_thread, NULL);
		syscall(SYS_exit, 2);
	});
	printf("the leader's exit counts: %d\n", WEXITSTATUS(status));
	status = in_child({
		pthread_create(&thread, NULL, thread_exec_exit, NULL);
		pthread_barrier_wait(&barrier);
		syscall(SYS_tkill, thread_tid, SIGTERM);
		pause();
	});
	printf("a signal to a thread ends all: %d\n", WTERMSIG(status));
	status = in_child({
		pthread_create(&thread, NULL, thread_exec_exit, NULL);
		pthread_barrier_wait(&barrier);
		pid_t pid = fork();
		if (pid == 0)
			_exit(proc_number("/proc/self/status", "Threads:"));
		_exit(WEXITSTATUS(ended(pid)));
	});
	printf("fork copies one thread: %d\n", WEXITSTATUS(status));
}

static void limits(void)
{
	in_child({
		struct rlimit limit = { 3, 3 };
		setrlimit(RLIMIT_NPROC, &limit);
		setresuid(4711, 4711, 4711);
		pid_t first = fork();
		if (first == 0) {
			pause();
			_exit(0);
		}
		pid_t second = fork();
		if (second == 0) {
			pause();
			_exit(0);
		}
		show("third child", fork());
		kill(first, SIGKILL);
		kill(second, SIGKILL);
		ended(first);
		pid_t third = fork();
		if (third == 0)
			_exit(0);
		show("third child later", third > 0);
	});
}

static void unsharing(void)
{
	show("unshare 0", unshare(0));
	show("unshare FILES FS SYSVSEM", unshare(CLONE_FILES | CLONE_FS | CLONE_SYSVSEM));
	show("unshare VM", unshare(CLONE_VM));
	show("unshare SIGHAND", unshare(CLONE_SIGHAND));
	show("unshare THREAD", unshare(CLONE_THREAD));
	show("unshare SETTLS", unshare(CLONE_SETTLS));
}

int main(void)
{
	flags();
	three();
	sharing();
	ids();
	threads();
	limits();
	unsharing();
	return 0;
}
