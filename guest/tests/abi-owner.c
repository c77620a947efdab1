/* abi-owner.c: who owns a region, what ends it, and what is left then. */
#include "region.h"
#include <sys/socket.h>
#include <sys/un.h>

static void calls_on_dead(int fd)
{
	struct stat st;
	struct mshare_remap move = { 0, PAGE, 0, PAGE, 0, 0 };
	expect_error(map_anon(fd, 0, PAGE, RW), ENXIO, "map");
	expect_error(mshare_unmap(fd, 0, PAGE), ENXIO, "unmap");
	expect_error(mshare_protect(fd, 0, PAGE, PROT_READ), ENXIO, "protect");
	expect_error(mshare_advise(fd, 0, PAGE, MADV_DONTNEED), ENXIO, "advise");
	expect_error(mshare_lock(fd, 0, PAGE, 0), ENXIO, "lock");
	expect_error(mshare_unlock(fd, 0, PAGE), ENXIO, "unlock");
	expect_error(mshare_sync(fd, 0, PAGE, MS_SYNC), ENXIO, "sync");
	expect_error(mshare_remap(fd, &move, sizeof(move)), ENXIO, "remap");
	expect_error(mshare_attach(fd, 0, 0, NULL, 0) == MAP_FAILED ? -1 : 0, ENXIO, "attach");
	expect_error(ftruncate(fd, 8 * GRANULE), ENXIO, "ftruncate");
	expect_error(fallocate(fd, 0, 0, 8 * GRANULE), ENXIO, "fallocate");
	expect_error(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW), ENXIO, "F_ADD_SEALS");
	expect_is(fstat(fd, &st), 0, "fstat still works");
	struct mshare_stat ms = stat_of(fd);
	expect_is(ms.owner, 0, "stat: no owner");
	expect_is(ms.flags & MSHARE_STAT_OWNED, 0, "stat: not owned");
	expect(ms.mapped == 0 && ms.resident == 0 && ms.windows == 0 && ms.sharers == 0 && ms.links == 0 && ms.table_bytes == 0, "stat: nothing in it");
}

/* The owner is killed; this process has two windows, touched and not. */
static void killed(void)
{
	int fd;
	pid_t owner = other_owner(4 * GRANULE, &fd);
	char *window = window_on(fd), *second = window_on(fd);
	window[0] = 1;
	window[GRANULE] = 2;
	expect_is(stat_of(fd).owner, owner, "the owner is the creating process");
	expect_is(map_anon(fd, 0, PAGE, RW), 0, "who is not the owner may map");
	expect_is(mshare_unmap(fd, 2 * GRANULE, PAGE), 0, "and unmap");
	end_owner(owner);
	expect_text(try_read(window), "SEGV_MAPERR", "after the owner's end: a touched page");
	expect_text(try_write(window + GRANULE), "SEGV_MAPERR", "writing");
	expect_text(try_read(window + 3 * GRANULE), "SEGV_MAPERR", "an untouched page");
	expect_text(try_read(second), "SEGV_MAPERR", "the other window");
	calls_on_dead(fd);

	/* The window stays reserved. */
	void *over = mmap(window, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	expect(over == MAP_FAILED && errno == EEXIST, "nothing else can be mapped there");
	void *hint = mmap(window, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(hint != MAP_FAILED && hint != window, "a hint to it is not taken");
	expect_error(mmap(window + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ? -1 : 0, EINVAL, "MAP_FIXED into it");
	expect(mprotect(window, PAGE, PROT_READ) == -1, "mprotect fails");
	expect(madvise(window, 4 * GRANULE, MADV_DONTNEED) == -1, "madvise fails");
	expect(msync(window, PAGE, MS_SYNC) == -1, "msync fails");
	expect(mlock(window, PAGE) == -1, "mlock fails");
	unsigned char in_core;
	expect_error(mincore(window, PAGE, &in_core), EINVAL, "mincore fails");
	expect_in_child({
		expect_text(try_read(window), "SEGV_MAPERR", "a child inherits the dead window");
		expect_is(mshare_detach(window), 0, "and can detach it");
	});
	expect_is(mshare_detach(window), 0, "detach a dead window");
	expect_error(mshare_detach(window), EINVAL, "a second time");
	expect_is(munmap(second, 4 * GRANULE), 0, "munmap a dead window");
	over = mmap(window, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	expect(over == window, "now the place is free");
	munmap(over, PAGE);
	munmap(hint, PAGE);
	close(fd);
}

/* Without a descriptor and a window the owner has nothing to do with it any more. */
static void forsaken(void)
{
	int fd = region(GRANULE), ready[2], go[2], status;
	map_anon(fd, 0, GRANULE, RW);
	if (pipe(ready) || pipe(go))
		exit(1);
	char byte;
	pid_t child = fork();
	if (child == 0) {
		char *window = window_on(fd);
		window[5] = 6;
		byte = 1;
		if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(1);
		expect_is(window[5], 6, "the owner has closed its descriptor, but has a window: alive");
		if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1)
			_exit(1);
		expect_text(try_read(window + 5), "SEGV_MAPERR", "the owner has neither descriptor nor window: emptied");
		expect_error(map_anon(fd, 0, PAGE, RW), ENXIO, "and ENXIO");
		_exit(failures != 0);
	}
	char *window = window_on(fd);
	window[1] = 1;
	if (read(ready[0], &byte, 1) != 1)
		exit(1);
	close(fd);
	expect_is(window[5], 6, "a window without a descriptor works");
	if (write(go[1], &byte, 1) != 1 || read(ready[0], &byte, 1) != 1)
		exit(1);
	expect_is(mshare_detach(window), 0, "the owner detaches");
	if (write(go[1], &byte, 1) != 1)
		exit(1);
	status = ended(child);
	expect_is(status, 0, "the child saw it");

	/* A descriptor alone keeps it. */
	fd = region(GRANULE);
	map_anon(fd, 0, GRANULE, RW);
	window = window_on(fd);
	window[0] = 4;
	mshare_detach(window);
	window = window_on(fd);
	expect_is(window[0], 4, "a descriptor without a window keeps the memory");
	int second = dup(fd);
	close(fd);
	mshare_detach(window);
	window = window_on(second);
	expect_is(window[0], 4, "a duplicate too");
	mshare_detach(window);
	close(second);
	/* Everything is gone now: a new region is a new one. */
	int next = region(GRANULE);
	expect_is(stat_of(next).mapped, 0, "a new region is empty");
	close(next);
}

/* A child that creates a region and passes it on: its exit ends the region, the parent's forks do not. */
static void children(void)
{
	int fd = region(GRANULE);
	map_anon(fd, 0, GRANULE, RW);
	char *window = window_on(fd);
	window[0] = 1;
	expect_in_child({
		window[0]++;
		expect_is(stat_of(fd).owner, getppid(), "a child is not the owner");
		close(fd);
		mshare_detach(window);
	});
	expect_is(window[0], 2, "a child's exit ends nothing");
	expect_is(stat_of(fd).owner, getpid(), "the owner is still the creator");
	mshare_detach(window);
	close(fd);
}

/* A region sent over a socket while its owner lives. */
static void over_a_socket(void)
{
	int sockets[2];
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		exit(1);
	char byte = 0, space[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	pid_t child = fork();
	if (child == 0) {
		int fd = region(GRANULE);
		map_anon(fd, 0, GRANULE, RW);
		char *window = window_on(fd);
		strcpy(window, "sent");
		struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(header), &fd, sizeof(int));
		if (sendmsg(sockets[1], &msg, 0) != 1 || read(sockets[1], &byte, 1) != 1)
			_exit(1);
		_exit(0);
	}
	expect_is(recvmsg(sockets[0], &msg, 0), 1, "recvmsg");
	int fd = -1;
	if (CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	expect(fd >= 0, "a region's descriptor over SCM_RIGHTS");
	char *window = window_on(fd);
	expect_text(window, "sent", "and its memory");
	if (write(sockets[0], &byte, 1) != 1)
		exit(1);
	ended(child);
	expect_text(try_read(window), "SEGV_MAPERR", "the sender owned it");
	mshare_detach(window);
	close(fd);
}

/* exec keeps ownership. */
static void over_exec(const char *self)
{
	int ready[2];
	if (pipe(ready))
		exit(1);
	pid_t child = fork();
	if (child == 0) {
		char number[16], to[16];
		int fd = region(GRANULE);
		map_anon(fd, 0, GRANULE, RW);
		char *window = window_on(fd);
		strcpy(window, "before exec");
		snprintf(number, sizeof(number), "%d", fd);
		snprintf(to, sizeof(to), "%d", ready[1]);
		execl(self, self, number, to, NULL);
		_exit(127);
	}
	char byte;
	expect_is(read(ready[0], &byte, 1), 1, "the program after exec is ready");
	expect_is(ended(child), 0, "and content");
}

static int after_exec(int fd, int ready)
{
	struct mshare_stat st = stat_of(fd);
	expect_is(st.owner, getpid(), "exec keeps ownership");
	expect_is(st.windows, 0, "but no windows");
	char *window = window_on(fd);
	expect_text(window, "before exec", "and the memory");
	mshare_detach(window);
	char byte = 1;
	return write(ready, &byte, 1) != 1 || failures;
}

int main(int argc, char **argv)
{
	catch_faults();
	if (argc == 3)
		return after_exec(atoi(argv[1]), atoi(argv[2]));
	killed();
	forsaken();
	children();
	over_a_socket();
	over_exec(argc == 2 ? argv[1] : "/proc/self/exe");
	return failures != 0;
}
