// What a signal does to a call that waits: made again, ended with EINTR, or gone on with what is left of its time.
#include "check.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <time.h>

static volatile int *handled;
static int fds[2];
static void handler(int sig) { (void)sig; ++*handled; }

/* Sends SIGUSR1 to the parent after a while, then (with `then`) does something that lets its call end. */
static pid_t poke(void (*then)(void))
{
	pid_t parent = getpid(), child = fork();
	if (child)
		return child;
	until_asleep(parent);
	int before = *handled;
	kill(parent, SIGUSR1);
	if (then) {
		while (*handled == before)
			usleep(1000);
		until_asleep(parent);
		then();
	}
	_exit(0);
}
static void feed(void) { (void)!write(fds[1], "x", 1); }
static int gate_fd;
static void open_gate(void) { (void)!write(gate_fd, "x", 1); }
static int word, *shared;
static void wake(void)
{
	__atomic_store_n(shared, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, shared, FUTEX_WAKE, 1, 0, 0, 0);
}

static void with(int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };
	struct timespec time = { 30, 0 }, left = { 9, 9 };
	struct pollfd poller = { fds[0], POLLIN, 0 };
	char c;
	pid_t child;
	sigaction(SIGUSR1, &action, NULL);
	printf("%s\n", flags ? "SA_RESTART" : "no flags");
	*handled = 0;
	child = poke(feed);
	show("read", read(fds[0], &c, 1));
	waitpid(child, NULL, 0);
	if (!flags)
		show("read again", read(fds[0], &c, 1));

	child = poke(NULL);
	show("nanosleep", nanosleep(&time, &left));
	printf("left %d\n", left.tv_sec < 30 && left.tv_sec > 1);
	waitpid(child, NULL, 0);

	child = poke(NULL);
	left.tv_sec = 9;
	show("clock_nanosleep", (errno = syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, &left) ? errno : 0) ? -1 : 0);
	waitpid(child, NULL, 0);

	child = poke(NULL);
	clock_gettime(CLOCK_MONOTONIC, &time);
	time.tv_sec += 30;
	left.tv_sec = 9;
	show("absolute", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &time, &left));
	printf("left untouched %d\n", left.tv_sec == 9);
	waitpid(child, NULL, 0);

	child = poke(NULL);
	show("poll", poll(&poller, 1, 30000));
	waitpid(child, NULL, 0);
	child = poke(NULL);
	fd_set set;
	FD_ZERO(&set);
	FD_SET(fds[0], &set);
	show("select", select(fds[0] + 1, &set, NULL, NULL, &(struct timeval){ 30, 0 }));
	waitpid(child, NULL, 0);
	int ep = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN };
	epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event);
	child = poke(NULL);
	show("epoll_wait", epoll_wait(ep, &event, 1, 30000));
	close(ep);
	waitpid(child, NULL, 0);

	*shared = 0;
	child = poke(wake);
	show("futex", syscall(SYS_futex, shared, FUTEX_WAIT, 0, 0, 0, 0));
	waitpid(child, NULL, 0);
	*shared = 0;
	child = poke(wake);
	show("futex timed", syscall(SYS_futex, shared, FUTEX_WAIT, 0, &(struct timespec){ 30, 0 }, 0, 0));
	waitpid(child, NULL, 0);

	int sem = semget(IPC_PRIVATE, 1, 0600);
	child = poke(NULL);
	show("semop", semop(sem, &(struct sembuf){ 0, -1, 0 }, 1));
	semctl(sem, 0, IPC_RMID);
	waitpid(child, NULL, 0);

	int gate[2];
	(void)!pipe(gate);
	child = fork();
	if (child == 0) {
		(void)!read(gate[0], &c, 1);
		_exit(5);
	}
	gate_fd = gate[1];
	pid_t poker = poke(open_gate);
	int status = 0;
	long got = waitpid(child, &status, 0);
	printf("waitpid %s\n", got == child ? "child" : error_name(errno));
	if (got != child)
		waitpid(child, &status, 0);
	waitpid(poker, NULL, 0);
	printf("status %x\n", status);
	printf("handled %d\n", *handled);
}

/* Signals without a handler interrupt nothing that user space sees. */
static void stops(void)
{
	int status, gate[2];
	char c;
	(void)!pipe(gate);
	pid_t child = fork();
	if (child == 0) {
		struct timespec time = { 0, 300000000 }, left = { 9, 9 };
		struct pollfd poller = { fds[0], POLLIN, 0 };
		(void)!write(gate[1], "x", 1);
		show("nanosleep over a stop", nanosleep(&time, &left));
		(void)!write(gate[1], "x", 1);
		show("poll over a stop", poll(&poller, 1, 300));
		(void)!write(gate[1], "x", 1);
		show("futex over a stop", syscall(SYS_futex, &word, FUTEX_WAIT, 0, &time, 0, 0));
		_exit(0);
	}
	for (int i = 0; i < 3; i++) {
		(void)!read(gate[0], &c, 1);
		until_asleep(child);
		kill(child, SIGSTOP);
		waitpid(child, &status, WUNTRACED);
		kill(child, SIGCONT);
		waitpid(child, &status, WCONTINUED);
	}
	waitpid(child, &status, 0);
	printf("ended %x\n", status);
}

int main(void)
{
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	handled = shared + 1;
	show("pipe", pipe(fds));
	with(0);
	with(SA_RESTART);
	stops();
}
