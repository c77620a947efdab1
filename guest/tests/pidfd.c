// pidfds: opening, polling, sending signals, taking descriptors, waiting.
#include "check.h"
#include <poll.h>
#include <sys/pidfd.h>

static volatile int got, code, value;
static void note(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	got++;
	code = info->si_code;
	value = info->si_value.sival_int;
}

int main(void)
{
	siginfo_t info;
	int pipes[2];
	show("flags", syscall(SYS_pidfd_open, getpid(), 1));
	show("pid 0", syscall(SYS_pidfd_open, 0, 0));
	show("nobody", syscall(SYS_pidfd_open, 30000, 0));
	int self = pidfd_open(getpid(), 0);
	show("cloexec", fcntl(self, F_GETFD));
	show("read", read(self, &info, 1));
	show("seek", lseek(self, 0, SEEK_CUR));
	struct sigaction action = { .sa_sigaction = note, .sa_flags = SA_SIGINFO };
	sigaction(SIGUSR1, &action, NULL);
	show("signal", pidfd_send_signal(self, SIGUSR1, NULL, 0));
	printf("got %d code %d\n", got, code);
	memset(&info, 0, sizeof(info));
	info.si_signo = SIGUSR1;
	info.si_code = SI_QUEUE;
	info.si_value.sival_int = 9;
	show("queue", pidfd_send_signal(self, SIGUSR1, &info, 0));
	printf("got %d code %d value %d\n", got, code, value);
	show("other signo", pidfd_send_signal(self, SIGUSR2, &info, 0));
	show("flags", pidfd_send_signal(self, 0, NULL, 3));
	show("thread", pidfd_send_signal(self, SIGUSR1, NULL, 1));
	printf("got %d code %d\n", got, code);
	show("signal 65", pidfd_send_signal(self, 65, NULL, 0));
	show("closed", pidfd_send_signal(99, 0, NULL, 0));
	show("pipe", (pipe(pipes), pidfd_send_signal(pipes[0], 0, NULL, 0)));

	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	int fd = pidfd_open(child, 0);
	struct pollfd poller = { fd, POLLIN, 0 };
	show("poll", poll(&poller, 1, 0));
	info.si_code = SI_USER;
	show("pretend", pidfd_send_signal(fd, SIGUSR1, &info, 0));
	int taken = pidfd_getfd(fd, pipes[1], 0);
	printf("getfd %d cloexec %d\n", taken >= 0, fcntl(taken, F_GETFD));
	(void)!write(taken, "x", 1);
	char c = 0;
	(void)!read(pipes[0], &c, 1);
	printf("same pipe %c\n", c);
	show("getfd closed", pidfd_getfd(fd, 99, 0));
	show("getfd flags", pidfd_getfd(fd, 0, 1));
	show("getfd not a pidfd", pidfd_getfd(pipes[0], 0, 0));
	show("kill", pidfd_send_signal(fd, SIGKILL, NULL, 0));
	show("poll", poll(&poller, 1, -1));
	printf("revents %x\n", poller.revents);
	show("zombie", pidfd_send_signal(fd, 0, NULL, 0));
	show("getfd zombie", pidfd_getfd(fd, 0, 0));
	memset(&info, 0, sizeof(info));
	show("waitid", waitid(P_PIDFD, fd, &info, WEXITED));
	printf("pid %d code %d status %d\n", info.si_pid == child, info.si_code, info.si_status);
	show("gone", pidfd_send_signal(fd, 0, NULL, 0));
	show("waitid gone", waitid(P_PIDFD, fd, &info, WEXITED));
	show("waitid closed", waitid(P_PIDFD, 99, &info, WEXITED));
	poller.revents = 0;
	show("poll", poll(&poller, 1, 0));
	printf("revents %x\n", poller.revents);
}
