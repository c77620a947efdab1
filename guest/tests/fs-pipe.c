/* Pipes, FIFOs and descriptors: capacity, atomicity, hang-ups, signals, dup, close_range, limits. */
#include "check.h"
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

static volatile int caught;
static void on_signal(int sig)
{
	caught = sig;
}

static void events(const char *name, int fd, int wanted)
{
	struct pollfd p = { .fd = fd, .events = wanted };
	int n = poll(&p, 1, 0);
	printf("%s: poll %d revents %x\n", name, n, p.revents);
}

static void pipes(void)
{
	int p[2];
	static char buf[200000];
	show("pipe2 flags", pipe2(p, O_RDWR));
	show("pipe2 address", syscall(SYS_pipe2, 8L, 0));
	show("pipe2", pipe2(p, O_NONBLOCK | O_CLOEXEC));
	printf("flags %o %o cloexec %d\n", fcntl(p[0], F_GETFL), fcntl(p[1], F_GETFL), fcntl(p[0], F_GETFD));
	struct stat st;
	fstat(p[0], &st);
	printf("mode %o size %ld\n", st.st_mode, (long)st.st_size);
	show("read empty", read(p[0], buf, 10));
	show("read of the write end", read(p[1], buf, 10));
	show("write to the read end", write(p[0], buf, 10));
	events("empty read end", p[0], POLLIN | POLLOUT);
	events("empty write end", p[1], POLLIN | POLLOUT);
	show("capacity", fcntl(p[0], F_GETPIPE_SZ));
	show("fill", write(p[1], buf, sizeof(buf)));
	show("one more", write(p[1], buf, 1));
	events("full read end", p[0], POLLIN | POLLOUT);
	events("full write end", p[1], POLLIN | POLLOUT);
	int n;
	show("FIONREAD", ioctl(p[0], FIONREAD, &n));
	printf("%d\n", n);
	show("smaller", fcntl(p[0], F_SETPIPE_SZ, 4096));
	show("larger", fcntl(p[0], F_SETPIPE_SZ, 100000));
	show("now it goes", write(p[1], buf, 1));
	show("read", read(p[0], buf, 70000));
	show("smaller", fcntl(p[0], F_SETPIPE_SZ, 1));
	show("4096", write(p[1], buf, 4096));
	show("atomic or nothing", write(p[1], buf, 10));
	show("drain", read(p[0], buf, 100));
	show("not atomic", write(p[1], buf, 5000));
	show("capacity of a file", fcntl(open("/tmp", O_RDONLY), F_GETPIPE_SZ));
	close(p[1]);
	events("write end closed", p[0], POLLIN);
	show("read the rest", read(p[0], buf, sizeof(buf)));
	show("end", read(p[0], buf, sizeof(buf)));
	events("empty and closed", p[0], POLLIN);
	close(p[0]);

	pipe(p);
	close(p[0]);
	events("read end closed", p[1], POLLOUT);
	signal(SIGPIPE, on_signal);
	show("write to nobody", write(p[1], "x", 1));
	printf("signal %d\n", caught);
	signal(SIGPIPE, SIG_IGN);
	show("write to nobody", write(p[1], "x", 1));
	show("write nothing to nobody", write(p[1], "x", 0));
	signal(SIGPIPE, SIG_DFL);
	int status = in_child(write(p[1], "x", 1));
	printf("child %x\n", status);
	close(p[1]);

	/* a writer that waits, a reader that is interrupted */
	pipe(p);
	pid_t child = fork();
	if (child == 0) {
		close(p[0]);
		_exit(write(p[1], buf, sizeof(buf)) == sizeof(buf) ? 0 : 1);
	}
	close(p[1]);
	long total = 0;
	while ((n = read(p[0], buf, 30000)) > 0)
		total += n;
	printf("all %ld, child %x\n", total, ended(child));
	close(p[0]);
	pipe(p);
	struct sigaction action = { .sa_handler = on_signal };
	sigaction(SIGALRM, &action, NULL);
	ualarm(10000, 0);
	show("interrupted read", read(p[0], buf, 1));
	action.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &action, NULL);
	child = fork();
	if (child == 0) {
		usleep(60000);
		write(p[1], "y", 1);
		_exit(0);
	}
	ualarm(10000, 0);
	show("restarted read", read(p[0], buf, 1));
	ended(child);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	ualarm(10000, 0);
	show("interrupted write has written", write(p[1], buf, 100000));
	close(p[0]);
	close(p[1]);

	/* packets */
	pipe2(p, O_DIRECT | O_NONBLOCK);
	show("packet", write(p[1], "one", 3));
	show("packet", write(p[1], "twotwo", 6));
	show("read a packet", read(p[0], buf, 100));
	show("read a part of a packet", read(p[0], buf, 2));
	show("the rest is gone", read(p[0], buf, 100));
	close(p[0]);
	close(p[1]);
}

static void fifos(void)
{
	char buf[100];
	unlink("/tmp/fifo");
	mkfifo("/tmp/fifo", 0600);
	show("write-only without reader", open("/tmp/fifo", O_WRONLY | O_NONBLOCK));
	int r = open("/tmp/fifo", O_RDONLY | O_NONBLOCK);
	events("reader before any writer", r, POLLIN);
	show("read before any writer", read(r, buf, 10));
	int w = open("/tmp/fifo", O_WRONLY | O_NONBLOCK);
	show("read with a writer", read(r, buf, 10));
	show("write", write(w, "hello", 5));
	close(w);
	events("writer gone", r, POLLIN);
	show("read", read(r, buf, 10));
	show("read at the end", read(r, buf, 10));
	events("writer gone and empty", r, POLLIN);
	close(r);
	pid_t child = fork();
	if (child == 0) {
		int fd = open("/tmp/fifo", O_WRONLY);
		write(fd, "from the child", 14);
		_exit(0);
	}
	int fd = open("/tmp/fifo", O_RDONLY);
	int n = read(fd, buf, 100);
	printf("%.*s\n", n, buf);
	ended(child);
	close(fd);
	fd = open("/tmp/fifo", O_RDWR);
	show("both ways", write(fd, "x", 1));
	show("both ways", read(fd, buf, 1));
	close(fd);
	sigaction(SIGALRM, &(struct sigaction){ .sa_handler = on_signal }, NULL);
	ualarm(10000, 0);
	show("interrupted open", open("/tmp/fifo", O_RDONLY));
}

static void *other_thread(void *argument)
{
	(void)argument;
	show("close_range unshare in a thread", close_range(100, 200, CLOSE_RANGE_UNSHARE));
	close(50);
	return NULL;
}

static void descriptors(void)
{
	int fd = open("/tmp", O_RDONLY);
	show("dup2 to itself", dup2(fd, fd) == fd ? 0 : -1);
	show("dup3 to itself", dup3(fd, fd, 0));
	show("dup3 flags", dup3(fd, 20, 1));
	show("dup3 cloexec", dup3(fd, 20, O_CLOEXEC));
	show("its flag", fcntl(20, F_GETFD));
	show("dup of nothing", dup(99));
	show("dup2 of nothing", dup2(99, 20));
	show("20 is still there", fcntl(20, F_GETFD));
	show("dup2 too high", dup2(fd, 100000));
	show("dup2 negative", dup2(fd, -1));
	show("F_DUPFD", fcntl(fd, F_DUPFD, 50));
	show("F_DUPFD again", fcntl(fd, F_DUPFD_CLOEXEC, 50));
	show("its flag", fcntl(51, F_GETFD));
	show("F_DUPFD too high", fcntl(fd, F_DUPFD, 100000));
	show("F_SETFD", fcntl(fd, F_SETFD, FD_CLOEXEC));
	show("F_GETFD", fcntl(fd, F_GETFD));
	show("FIONCLEX", ioctl(fd, FIONCLEX));
	show("F_GETFD", fcntl(fd, F_GETFD));
	show("unknown fcntl", fcntl(fd, 12345));
	show("F_GETOWN", fcntl(fd, F_GETOWN));
	show("dup query same", fcntl(fd, 1027, 50));
	show("dup query other", fcntl(fd, 1027, 1));
	lseek(fd, 0, SEEK_SET);
	int a = open("/tmp/shared-offset", O_CREAT | O_TRUNC | O_RDWR, 0600), b = dup(a);
	write(a, "12345", 5);
	show("shared offset", lseek(b, 0, SEEK_CUR));
	fcntl(b, F_SETFL, O_APPEND);
	printf("shared flags %d\n", (fcntl(a, F_GETFL) & O_APPEND) != 0);
	int on = 1;
	show("FIONBIO", ioctl(a, FIONBIO, &on));
	printf("shared flags %d\n", (fcntl(b, F_GETFL) & O_NONBLOCK) != 0);
	show("close_range", close_range(20, 51, 0));
	show("gone", fcntl(50, F_GETFD));
	show("close_range backwards", close_range(5, 4, 0));
	show("close_range flags", close_range(5, 6, 64));
	dup2(fd, 50);
	dup2(fd, 60);
	show("close_range cloexec", close_range(55, ~0U, CLOSE_RANGE_CLOEXEC));
	printf("flags %d %d\n", fcntl(50, F_GETFD), fcntl(60, F_GETFD));
	pthread_t thread;
	pthread_create(&thread, NULL, other_thread, NULL);
	pthread_join(thread, NULL);
	show("the other's table was its own", fcntl(50, F_GETFD));
	struct rlimit limit = { 10, 4096 };
	setrlimit(RLIMIT_NOFILE, &limit);
	while (dup(fd) >= 0)
		;
	show("dup at the limit", dup(fd));
	show("open at the limit", open("/tmp/not-made", O_CREAT | O_WRONLY, 0600));
	show("and nothing was made", access("/tmp/not-made", F_OK));
	int p[2];
	show("pipe at the limit", pipe(p));
	close(5);
	show("pipe with one descriptor", pipe(p));
	show("the one is free again", dup(fd));
	show("dup2 at the limit", dup2(fd, 10));
	show("F_DUPFD at the limit", fcntl(fd, F_DUPFD, 10));
	show("60 still works", fcntl(60, F_GETFD));
}

int main(void)
{
	pipes();
	fifos();
	descriptors();
	return 0;
}
