// poll, select, epoll and the descriptors made for them: eventfd, timerfd, signalfd.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>

static int p[2];
static char c;

static void fill(int fd)
{
	char block[4096] = { 0 };
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (write(fd, block, sizeof(block)) > 0)
		;
}
static void polled(const char *what, int fd, int events)
{
	struct pollfd f = { fd, events, 0x5555 };
	int n = poll(&f, 1, 0);
	printf("%s: %d %x\n", what, n, f.revents & 0xffff);
}

static void polls(void)
{
	struct pollfd none = { -1, POLLIN, 7 };
	show("negative fd", poll(&none, 1, 0));
	printf("revents %d\n", none.revents);
	polled("closed fd", 99, POLLIN);
	polled("empty pipe", p[0], POLLIN);
	polled("write end", p[1], POLLOUT | POLLIN);
	(void)!write(p[1], "x", 1);
	polled("byte", p[0], POLLIN | POLLRDNORM | POLLOUT);
	(void)!read(p[0], &c, 1);
	fill(p[1]);
	polled("full", p[1], POLLOUT);
	int q[2];
	(void)!pipe(q);
	close(q[1]);
	polled("hang-up", q[0], POLLIN);
	close(q[0]);
	(void)!pipe(q);
	close(q[0]);
	polled("no reader", q[1], POLLOUT);
	close(q[1]);
	polled("file", open("/proc/self/exe", O_RDONLY), POLLIN | POLLOUT | POLLPRI);
	polled("null", open("/dev/null", O_RDWR), POLLIN | POLLOUT);
	show("too many", syscall(SYS_ppoll, &none, 100000, &(struct timespec){ 0, 0 }, 0, 8));
	show("fault", syscall(SYS_ppoll, 8, 1, &(struct timespec){ 0, 0 }, 0, 8));
	show("bad timeout", syscall(SYS_ppoll, &none, 1, &(struct timespec){ 0, 1000000000 }, 0, 8));
	show("mask size", syscall(SYS_ppoll, &none, 1, &(struct timespec){ 0, 0 }, &none, 4));
	struct timespec left = { 0, 1000000 };
	show("timeout", syscall(SYS_ppoll, NULL, 0, &left, 0, 8));
	printf("left %ld %ld\n", (long)left.tv_sec, left.tv_nsec);
	char block[4096];
	fcntl(p[0], F_SETFL, O_NONBLOCK);
	while (read(p[0], block, sizeof(block)) == 4096)
		;
}

static void selects(void)
{
	int q[2];
	(void)!pipe(q);
	fd_set r, w, e;
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_ZERO(&e);
	FD_SET(q[0], &r);
	FD_SET(q[1], &w);
	FD_SET(q[0], &e);
	show("select", select(q[1] + 1, &r, &w, &e, NULL));
	printf("r %d w %d e %d\n", FD_ISSET(q[0], &r), FD_ISSET(q[1], &w), FD_ISSET(q[0], &e));
	FD_SET(q[0], &r);
	(void)!write(q[1], "x", 1);
	show("both", select(q[1] + 1, &r, &w, NULL, NULL));
	close(q[1]);
	(void)!read(q[0], &c, 1);
	FD_SET(q[0], &r);
	show("end", select(q[0] + 1, &r, NULL, NULL, NULL));
	FD_SET(61, &r);
	show("closed fd", select(64, &r, NULL, NULL, NULL));
	show("negative", select(-1, NULL, NULL, NULL, NULL));
	show("timeout", select(0, NULL, NULL, NULL, &(struct timeval){ 0, 1000 }));
	show("bad timeout", select(0, NULL, NULL, NULL, &(struct timeval){ -1, 0 }));
	show("fault", syscall(SYS_pselect6, 1, 8, 0, 0, 0, 0));
	close(q[0]);
}

static int ep;
static void waited(const char *what)
{
	struct epoll_event events[8];
	int n = epoll_wait(ep, events, 8, 0);
	printf("%s: %d", what, n);
	for (int i = 0; i < n; i++)
		printf(" [%x %lx]", events[i].events, (long)events[i].data.u64);
	printf("\n");
}
static long ctl(int op, int fd, unsigned events, long data)
{
	struct epoll_event event = { .events = events, .data.u64 = data };
	return epoll_ctl(ep, op, fd, &event);
}
static void epolls(void)
{
	int q[2];
	(void)!pipe(q);
	show("create flags", epoll_create1(1));
	ep = epoll_create1(EPOLL_CLOEXEC);
	show("cloexec", fcntl(ep, F_GETFD));
	show("add closed", ctl(EPOLL_CTL_ADD, 99, EPOLLIN, 0));
	show("add to closed", epoll_ctl(99, EPOLL_CTL_ADD, q[0], NULL));
	show("add fault", epoll_ctl(ep, EPOLL_CTL_ADD, q[0], (void *)8));
	show("add to pipe", epoll_ctl(q[0], EPOLL_CTL_ADD, q[1], &(struct epoll_event){ 0 }));
	show("add itself", ctl(EPOLL_CTL_ADD, ep, EPOLLIN, 0));
	show("add file", ctl(EPOLL_CTL_ADD, open("/proc/self/exe", O_RDONLY), EPOLLIN, 0));
	show("add", ctl(EPOLL_CTL_ADD, q[0], EPOLLIN, 0x123456789abcdef));
	show("add again", ctl(EPOLL_CTL_ADD, q[0], EPOLLIN, 1));
	show("mod absent", ctl(EPOLL_CTL_MOD, q[1], EPOLLIN, 1));
	show("del absent", ctl(EPOLL_CTL_DEL, q[1], 0, 0));
	show("op 9", ctl(9, q[0], EPOLLIN, 1));
	show("maxevents 0", epoll_wait(ep, (void *)8, 0, 0));
	show("wait on pipe", epoll_wait(q[0], &(struct epoll_event){ 0 }, 1, 0));
	show("wait on closed", epoll_wait(99, &(struct epoll_event){ 0 }, 1, 0));
	waited("nothing");
	(void)!write(q[1], "ab", 2);
	waited("level");
	(void)!read(q[0], &c, 1);
	waited("level again");
	show("fault", syscall(SYS_epoll_pwait, ep, 8, 1, 0, 0, 8));
	(void)!read(q[0], &c, 1);
	waited("empty");
	show("edge", ctl(EPOLL_CTL_MOD, q[0], EPOLLIN | EPOLLET, 2));
	(void)!write(q[1], "a", 1);
	waited("edge");
	waited("edge once");
	(void)!write(q[1], "b", 1);
	waited("edge new");
	show("mod rearms", ctl(EPOLL_CTL_MOD, q[0], EPOLLIN | EPOLLET, 3));
	waited("rearmed");
	show("oneshot", ctl(EPOLL_CTL_MOD, q[0], EPOLLIN | EPOLLONESHOT, 4));
	waited("oneshot");
	(void)!write(q[1], "c", 1);
	waited("disabled");
	show("oneshot again", ctl(EPOLL_CTL_MOD, q[0], EPOLLIN | EPOLLONESHOT, 5));
	waited("oneshot again");
	show("both ends", ctl(EPOLL_CTL_ADD, q[1], EPOLLOUT, 6));
	show("level again", ctl(EPOLL_CTL_MOD, q[0], EPOLLIN, 7));
	waited("two");
	int inner = ep, outer = epoll_create1(0);
	ep = outer;
	show("nest", ctl(EPOLL_CTL_ADD, inner, EPOLLIN, 8));
	waited("nested");
	ep = inner;
	show("loop", ctl(EPOLL_CTL_ADD, outer, EPOLLIN, 9));
	int copy = dup(q[0]);
	show("a copy is another item", ctl(EPOLL_CTL_ADD, copy, EPOLLIN, 10));
	show("exclusive mod", ctl(EPOLL_CTL_MOD, copy, EPOLLIN | EPOLLEXCLUSIVE, 10));
	show("exclusive oneshot", ctl(EPOLL_CTL_ADD, 0, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, 10));
	close(q[0]);
	waited("closed, a copy lives");
	close(copy);
	waited("closed");
	close(q[1]);
	waited("none");
	close(outer);
	close(ep);
}

static void eventfds(void)
{
	uint64_t value;
	show("flags", eventfd(0, 0x10));
	int fd = eventfd(3, EFD_NONBLOCK);
	polled("poll", fd, POLLIN | POLLOUT);
	show("read", read(fd, &value, 8));
	printf("value %lu\n", value);
	show("empty", read(fd, &value, 8));
	polled("poll", fd, POLLIN | POLLOUT);
	show("short read", read(fd, &value, 7));
	show("short write", write(fd, &value, 7));
	value = ~0UL;
	show("too much", write(fd, &value, 8));
	value = ~0UL - 1;
	show("most", write(fd, &value, 8));
	polled("poll", fd, POLLIN | POLLOUT);
	value = 1;
	show("full", write(fd, &value, 8));
	show("seek", lseek(fd, 0, SEEK_SET));
	close(fd);
	fd = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
	for (int i = 0; i < 3; i++) {
		value = 0;
		show("semaphore", read(fd, &value, 8));
		printf("value %lu\n", value);
	}
	close(fd);
	fd = eventfd(0, 0);
	pid_t parent = getpid();
	if (fork() == 0) {
		until_asleep(parent);
		value = 5;
		_exit(write(fd, &value, 8) != 8);
	}
	show("waits", read(fd, &value, 8));
	printf("value %lu\n", value);
	wait(NULL);
	close(fd);
}

static void timerfds(void)
{
	uint64_t ticks;
	struct itimerspec set = { { 0, 0 }, { 0, 1000000 } }, old;
	show("clock", timerfd_create(CLOCK_PROCESS_CPUTIME_ID, 0));
	show("flags", timerfd_create(CLOCK_MONOTONIC, 1));
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	show("unset", read(fd, &ticks, 8));
	show("short", read(fd, &ticks, 4));
	show("write", write(fd, &ticks, 8));
	show("set flags", timerfd_settime(fd, 8, &set, NULL));
	show("set bad", timerfd_settime(fd, 0, &(struct itimerspec){ { 0, 0 }, { 0, -1 } }, NULL));
	show("set other", timerfd_settime(p[0], 0, &set, NULL));
	show("set closed", timerfd_settime(99, 0, &set, NULL));
	show("set", timerfd_settime(fd, 0, &set, NULL));
	struct pollfd f = { fd, POLLIN, 0 };
	show("poll", poll(&f, 1, -1));
	show("read", read(fd, &ticks, 8));
	printf("ticks %lu\n", ticks);
	show("read again", read(fd, &ticks, 8));
	timerfd_gettime(fd, &old);
	printf("left %ld %ld\n", (long)old.it_value.tv_sec, old.it_value.tv_nsec);
	fcntl(fd, F_SETFL, 0);
	set.it_interval.tv_nsec = 1000000;
	timerfd_settime(fd, 0, &set, NULL);
	usleep(20000);
	show("periodic", read(fd, &ticks, 8));
	printf("several %d\n", ticks > 5);
	show("next", read(fd, &ticks, 8));
	set = (struct itimerspec){ { 5, 0 }, { 1000, 0 } };
	timerfd_settime(fd, 0, &set, &old);
	printf("old interval %ld\n", old.it_interval.tv_nsec);
	timerfd_gettime(fd, &old);
	printf("left %ld interval %ld\n", (long)(old.it_value.tv_sec + 1) / 100, (long)old.it_interval.tv_sec);
	set = (struct itimerspec){ { 0, 0 }, { 1, 0 } };
	show("absolute past", timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL));
	show("read", read(fd, &ticks, 8));
	close(fd);
}

static void signalfds(void)
{
	sigset_t set;
	struct signalfd_siginfo info[4];
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 2);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	show("flags", signalfd(-1, &set, 1));
	show("size", syscall(SYS_signalfd4, -1, &set, 4, 0));
	show("on pipe", signalfd(p[0], &set, 0));
	show("on closed", signalfd(99, &set, 0));
	int fd = signalfd(-1, &set, SFD_NONBLOCK);
	show("none", read(fd, info, sizeof(info)));
	show("short", read(fd, info, 127));
	polled("poll", fd, POLLIN);
	kill(getpid(), SIGUSR1);
	sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = 1 });
	sigqueue(getpid(), SIGRTMIN + 2, (union sigval){ .sival_int = 2 });
	polled("poll", fd, POLLIN);
	show("read", read(fd, info, sizeof(info)) / 128);
	for (int i = 0; i < 3; i++)
		printf("signo %d code %d pid %d int %d\n", info[i].ssi_signo, info[i].ssi_code, info[i].ssi_pid == (unsigned)getpid(), info[i].ssi_int);
	pid_t child = fork();
	if (child == 0)
		_exit(3);
	fcntl(fd, F_SETFL, 0);
	show("child", read(fd, info, sizeof(info)) / 128);
	printf("signo %d code %d pid %d status %d\n", info[0].ssi_signo, info[0].ssi_code, info[0].ssi_pid == (unsigned)child, info[0].ssi_status);
	waitpid(child, NULL, 0);
	ep = epoll_create1(0);
	show("epoll", ctl(EPOLL_CTL_ADD, fd, EPOLLIN, 1));
	waited("none");
	raise(SIGUSR1);
	waited("signal");
	sigdelset(&set, SIGUSR1);
	show("other mask", signalfd(fd, &set, 0) == fd);
	waited("not asked for");
	close(fd);
	close(ep);
}

int main(void)
{
	(void)!pipe(p);
	polls();
	selects();
	epolls();
	eventfds();
	timerfds();
	signalfds();
}
