// Signals in processes with threads, and over fork and exec: which thread takes one, what is inherited, what exec keeps.
#include "check.h"
#include <pthread.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>

static volatile int taken, by_main;
static pid_t main_tid;
static void note(int sig)
{
	(void)sig;
	taken++;
	by_main = syscall(SYS_gettid) == main_tid;
}
static void block(int how, int sig)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, sig);
	pthread_sigmask(how, &set, NULL);
}

static volatile pid_t tid;
static volatile int go, stop;
static void until_task_asleep(pid_t task)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", task);
	for (char text[512], state = 0; state != 'S';) {
		int fd = open(path, O_RDONLY);
		text[read(fd, text, sizeof(text) - 1)] = 0;
		close(fd);
		state = strrchr(text, ')')[2];
		if (state != 'S')
			usleep(1000);
	}
}
static void *sleeper(void *arg)
{
	(void)arg;
	tid = syscall(SYS_gettid);
	while (!stop)
		usleep(1000000);
	return NULL;
}
static pthread_t start(void *(*f)(void *), void *arg)
{
	pthread_t thread;
	tid = 0;
	pthread_create(&thread, NULL, f, arg);
	while (!tid)
		sched_yield();
	return thread;
}

static void who(void)
{
	signal(SIGUSR1, note);
	// The main thread takes what it does not block.
	stop = 0;
	pthread_t thread = start(sleeper, NULL);
	taken = 0;
	kill(getpid(), SIGUSR1);
	printf("taken %d by main %d\n", taken, by_main);
	// If it does, another one.
	block(SIG_BLOCK, SIGUSR1);
	until_task_asleep(tid);
	taken = 0;
	kill(getpid(), SIGUSR1);
	while (!taken)
		usleep(1000);
	printf("taken %d by main %d\n", taken, by_main);
	stop = 1;
	pthread_kill(thread, SIGUSR1);
	pthread_join(thread, NULL);
	// tgkill is for one thread only.
	taken = 0;
	syscall(SYS_tgkill, getpid(), main_tid, SIGUSR1);
	usleep(10000);
	printf("blocked %d\n", taken);
	block(SIG_UNBLOCK, SIGUSR1);
	printf("unblocked %d\n", taken);
}

/* A signal that is pending for the process when its only taker goes: the next thread that unblocks it gets it. */
static void *waiter(void *arg)
{
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	tid = syscall(SYS_gettid);
	do
		*(int *)arg = sigwaitinfo(&set, &info);
	while (*(int *)arg < 0);
	return NULL;
}
static void sigwaiters(void)
{
	int got[3] = { 0, 0, 0 };
	pthread_t threads[3];
	block(SIG_BLOCK, SIGUSR2);
	for (int i = 0; i < 3; i++) {
		threads[i] = start(waiter, &got[i]);
		until_task_asleep(tid);
	}
	for (int i = 0; i < 3; i++)
		sigqueue(getpid(), SIGUSR2, (union sigval){ .sival_int = i });
	// Standard signals merge while nobody has taken them: send until all are through.
	for (int i = 0; i < 3; i++) {
		while (pthread_tryjoin_np(threads[i], NULL) == EBUSY) {
			kill(getpid(), SIGUSR2);
			usleep(1000);
		}
	}
	printf("waiters got %d %d %d\n", got[0], got[1], got[2]);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	while (sigtimedwait(&set, NULL, &(struct timespec){ 0, 0 }) > 0)
		;
	block(SIG_UNBLOCK, SIGUSR2);
}

/* Stop and continue act on all threads. */
static void *counter(void *arg)
{
	for (;;)
		++*(volatile long *)arg;
	return NULL;
}
static void stops(void)
{
	volatile long *counts = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child = fork();
	if (child == 0) {
		pthread_t thread;
		for (int i = 0; i < 3; i++)
			pthread_create(&thread, NULL, counter, (void *)&counts[i]);
		counter((void *)&counts[3]);
	}
	while (!counts[0] || !counts[1] || !counts[2] || !counts[3])
		usleep(1000);
	int status;
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	long before = counts[0] + counts[1] + counts[2] + counts[3];
	usleep(20000);
	printf("stopped %x all %d\n", status, before == counts[0] + counts[1] + counts[2] + counts[3]);
	kill(child, SIGCONT);
	waitpid(child, &status, WCONTINUED);
	while (before == counts[0] + counts[1] + counts[2] + counts[3])
		usleep(1000);
	printf("continued %x\n", status);
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	printf("killed %x\n", status);
}

static void inherit(void)
{
	sigset_t pending;
	signal(SIGUSR1, note);
	block(SIG_BLOCK, SIGUSR1);
	raise(SIGUSR1);
	kill(getpid(), SIGUSR1);
	in_child(sigpending(&pending); printf("pending in a child %d\n", sigismember(&pending, SIGUSR1)); raise(SIGUSR1); sigpending(&pending); printf("mask in a child %d\n", sigismember(&pending, SIGUSR1)));
	block(SIG_UNBLOCK, SIGUSR1);
}

static void limit(void)
{
	struct rlimit few = { 3, 3 };
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	in_child({
		// The limit is the user's: as one that nobody else is.
		(void)!setuid(12345);
		setrlimit(RLIMIT_SIGPENDING, &few);
		sigprocmask(SIG_BLOCK, &set, NULL);
		for (int i = 0; i < 5; i++)
			show("sigqueue", sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i }));
		show("standard", kill(getpid(), 0));
	});
}

static void before_exec(char *program)
{
	timer_t timer;
	static char stack[16384];
	signal(SIGUSR1, note);
	signal(SIGUSR2, SIG_IGN);
	signal(SIGCHLD, SIG_IGN);
	block(SIG_BLOCK, SIGHUP);
	block(SIG_BLOCK, SIGRTMIN);
	raise(SIGHUP);
	sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 5 });
	sigaltstack(&(stack_t){ .ss_sp = stack, .ss_size = sizeof(stack) }, NULL);
	timer_create(CLOCK_MONOTONIC, NULL, &timer);
	setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 1000, 0 } }, NULL);
	char *argv[] = { program, "after", NULL };
	execv("/proc/self/exe", argv);
}
static void after_exec(void)
{
	struct sigaction action;
	sigset_t pending, mask;
	stack_t stack;
	struct itimerval it;
	siginfo_t info;
	sigaction(SIGUSR1, NULL, &action);
	printf("handler %s\n", action.sa_handler == SIG_DFL ? "default" : "?");
	sigaction(SIGUSR2, NULL, &action);
	printf("ignored %s\n", action.sa_handler == SIG_IGN ? "ignored" : "?");
	sigpending(&pending);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	printf("mask %d %d pending %d %d\n", sigismember(&mask, SIGHUP), sigismember(&mask, SIGUSR1), sigismember(&pending, SIGHUP), sigismember(&pending, SIGRTMIN));
	sigemptyset(&mask);
	sigaddset(&mask, SIGRTMIN);
	show("queued", sigwaitinfo(&mask, &info) - SIGRTMIN);
	printf("value %d\n", info.si_value.sival_int);
	sigaltstack(NULL, &stack);
	printf("altstack %d\n", stack.ss_flags);
	show("timer", syscall(SYS_timer_delete, 0));
	getitimer(ITIMER_REAL, &it);
	printf("itimer %d\n", it.it_value.tv_sec > 900);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		after_exec();
		return 0;
	}
	main_tid = syscall(SYS_gettid);
	who();
	sigwaiters();
	stops();
	inherit();
	limit();
	fflush(stdout);
	before_exec(argv[0]);
}
