/* File locks: POSIX record locks, open file description locks, flock. */
#include "check.h"
#include <sys/file.h>

static int lock(int fd, int cmd, int type, long start, long len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	return fcntl(fd, cmd, &l);
}

static void get(const char *name, int fd, int cmd, int type, long start, long len)
{
	struct flock l = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len };
	show(name, fcntl(fd, cmd, &l));
	if (l.l_type == F_UNLCK)
		puts("  free");
	else
		printf("  type %d whence %d start %ld len %ld pid %s\n", l.l_type, l.l_whence, (long)l.l_start, (long)l.l_len,
		       l.l_pid == getppid() ? "parent" : l.l_pid == -1 ? "-1" : "other");
}

static void nothing(int sig)
{
	(void)sig;
}

int main(void)
{
	int fd = open("/tmp/fs-lock", O_RDWR | O_CREAT | O_TRUNC, 0644);
	int ro = open("/tmp/fs-lock", O_RDONLY);
	write(fd, "0123456789", 10);
	show("write lock", lock(fd, F_SETLK, F_WRLCK, 2, 4));
	show("read lock of a read-only file", lock(ro, F_SETLK, F_RDLCK, 7, 1));
	show("write lock of a read-only file", lock(ro, F_SETLK, F_WRLCK, 7, 1));
	show("bad type", lock(fd, F_SETLK, 7, 0, 0));
	show("negative start", lock(fd, F_SETLK, F_WRLCK, -5, 1));
	show("negative length", lock(fd, F_SETLK, F_WRLCK, 20, -3));
	struct flock w = { .l_type = F_WRLCK, .l_whence = 9 };
	show("bad whence", fcntl(fd, F_SETLK, &w));
	show("bad address", fcntl(fd, F_SETLK, 8));
	in_child({
		get("get in it", fd, F_GETLK, F_RDLCK, 3, 1);
		get("get before it", fd, F_GETLK, F_WRLCK, 0, 2);
		get("get across", fd, F_GETLK, F_WRLCK, 0, 0);
		get("get read against read", fd, F_GETLK, F_RDLCK, 7, 1);
		get("get write against read", fd, F_GETLK, F_WRLCK, 7, 1);
		get("get the negative one", fd, F_GETLK, F_RDLCK, 16, 3);
		show("set in it", lock(fd, F_SETLK, F_RDLCK, 5, 1));
		show("set after it", lock(fd, F_SETLK, F_RDLCK, 6, 1));
		show("shared read", lock(fd, F_SETLK, F_RDLCK, 7, 1));
		show("unlock of foreign", lock(fd, F_SETLK, F_UNLCK, 2, 4));
	});
	/* splitting and joining */
	lock(fd, F_SETLK, F_UNLCK, 0, 0);
	lock(fd, F_SETLK, F_WRLCK, 0, 100);
	lock(fd, F_SETLK, F_RDLCK, 40, 20);
	lock(fd, F_SETLK, F_UNLCK, 10, 10);
	in_child({
		get("first piece", fd, F_GETLK, F_RDLCK, 0, 1);
		get("hole", fd, F_GETLK, F_WRLCK, 10, 10);
		get("second piece", fd, F_GETLK, F_RDLCK, 20, 1);
		get("read part", fd, F_GETLK, F_WRLCK, 45, 1);
		get("third piece", fd, F_GETLK, F_RDLCK, 60, 1);
		get("read against the read part", fd, F_GETLK, F_RDLCK, 40, 20);
	});
	lock(fd, F_SETLK, F_WRLCK, 10, 10);
	lock(fd, F_SETLK, F_WRLCK, 40, 20);
	in_child(get("joined", fd, F_GETLK, F_RDLCK, 50, 1));
	/* any close lets all locks of the process go */
	close(open("/tmp/fs-lock", O_RDONLY));
	in_child(get("after a close", fd, F_GETLK, F_WRLCK, 0, 0));

	/* waiting */
	int p[2];
	char c;
	pipe(p);
	lock(fd, F_SETLK, F_WRLCK, 0, 1);
	pid_t child = fork();
	if (child == 0) {
		write(p[1], "x", 1);
		show("child waits", lock(fd, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	read(p[0], &c, 1);
	usleep(20000);
	puts("parent lets go");
	lock(fd, F_SETLK, F_UNLCK, 0, 1);
	ended(child);

	/* interrupted */
	struct sigaction action = { .sa_handler = nothing };
	sigaction(SIGALRM, &action, NULL);
	lock(fd, F_SETLK, F_WRLCK, 0, 1);
	in_child({
		struct sigaction a = { .sa_handler = nothing };
		sigaction(SIGALRM, &a, NULL);
		ualarm(20000, 0);
		show("interrupted", lock(fd, F_SETLKW, F_WRLCK, 0, 1));
	});

	/* a circle */
	lock(fd, F_SETLK, F_WRLCK, 0, 1);
	child = fork();
	if (child == 0) {
		lock(fd, F_SETLK, F_WRLCK, 1, 1);
		write(p[1], "x", 1);
		show("child waits for the parent", lock(fd, F_SETLKW, F_WRLCK, 0, 1));
		_exit(0);
	}
	read(p[0], &c, 1);
	usleep(20000);
	show("circle", lock(fd, F_SETLKW, F_WRLCK, 1, 1));
	lock(fd, F_SETLK, F_UNLCK, 0, 1);
	ended(child);

	/* open file description locks */
	int other = open("/tmp/fs-lock", O_RDWR);
	int dupped = dup(fd);
	show("OFD lock", lock(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
	show("OFD lock by another description", lock(other, F_OFD_SETLK, F_WRLCK, 4, 5));
	show("OFD lock by a duplicate", lock(dupped, F_OFD_SETLK, F_WRLCK, 4, 5));
	get("OFD get", other, F_OFD_GETLK, F_WRLCK, 0, 0);
	get("POSIX get against OFD", other, F_GETLK, F_WRLCK, 0, 0);
	w = (struct flock){ .l_type = F_WRLCK, .l_pid = 5 };
	show("OFD lock with a pid", fcntl(fd, F_OFD_SETLK, &w));
	close(open("/tmp/fs-lock", O_RDONLY));
	show("still there after a close", lock(other, F_OFD_SETLK, F_WRLCK, 4, 5));
	close(dupped);
	show("still there", lock(other, F_OFD_SETLK, F_WRLCK, 4, 5));
	close(fd);
	show("gone with its description", lock(other, F_OFD_SETLK, F_WRLCK, 4, 5));

	/* flock */
	fd = open("/tmp/fs-lock", O_RDONLY);
	show("flock shared", flock(fd, LOCK_SH | LOCK_NB));
	show("flock shared again", flock(other, LOCK_SH | LOCK_NB));
	show("flock upgrade", flock(fd, LOCK_EX | LOCK_NB));
	show("the shared one is lost", flock(other, LOCK_EX | LOCK_NB));
	show("flock against it", flock(fd, LOCK_SH | LOCK_NB));
	show("flock unlock", flock(other, LOCK_UN));
	show("flock bad", flock(fd, 0));
	show("flock bad fd", flock(99, LOCK_SH));
	show("flock exclusive", flock(fd, LOCK_EX));
	child = fork();
	if (child == 0) {
		show("inherited", flock(fd, LOCK_EX | LOCK_NB));
		write(p[1], "x", 1);
		show("child waits for flock", flock(other, LOCK_EX));
		_exit(0);
	}
	read(p[0], &c, 1);
	usleep(20000);
	puts("parent lets flock go");
	flock(fd, LOCK_UN);
	ended(child);
	int path = open("/tmp/fs-lock", O_PATH);
	show("flock of O_PATH", flock(path, LOCK_SH));
	show("flock of a pipe", flock(p[0], LOCK_SH));
	show("getlease", fcntl(fd, F_GETLEASE));
	return 0;
}
