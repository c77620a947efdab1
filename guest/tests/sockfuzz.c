/* sockfuzz.c: random calls on UNIX sockets, and what each of them gives. `sockfuzz FIRST LAST [COUNT]` prints the log of each seed; the same seed
 * gives the same log on every kernel that behaves the same (sockfuzz.expected: riscv64 Linux 6.12). One process, nothing waits. */
#include "check.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { SLOTS = 12, NAMES = 4 };
static int slot[SLOTS];
static int pipe_reader, pipe_writer;
static uint64_t state;
static char buffer[400000];
static const int types[3] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

static unsigned below(unsigned n)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return (state >> 11) % n;
}

static socklen_t name(struct sockaddr_un *a, int n)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	if (n < 2)
		return offsetof(struct sockaddr_un, sun_path) + sprintf(a->sun_path, "name%d", n) + 1;
	return offsetof(struct sockaddr_un, sun_path) + 1 + sprintf(a->sun_path + 1, "name%d", n);
}

static void result(long n)
{
	if (n < 0)
		printf(" = %s\n", error_name(errno));
	else
		printf(" = %ld\n", n);
}

/* What a name looks like in the log: autobind's are random. */
static void show_address(const struct sockaddr_un *a, socklen_t size)
{
	if (size > sizeof a->sun_family && !a->sun_path[0])
		printf(" @%.*s", size == 8 ? 4 : (int)(size - 3), size == 8 ? "auto" : a->sun_path + 1);
	else
		printf(" %s", size > sizeof a->sun_family ? a->sun_path : size ? "-" : "none");
}

static int pick_length(void)
{
	static const int lengths[] = { 0, 1, 2, 10, 100, 1000, 4000, 5000, 20000, 40000, 100000, 212960, 300000 };
	return lengths[below(below(3) ? 7 : 13)];
}

static int pick_flags(void)
{
	static const int flags[] = { 0, 0, 0, 0, MSG_PEEK, MSG_TRUNC, MSG_WAITALL, MSG_PEEK | MSG_TRUNC, MSG_OOB };
	return flags[below(8)] | MSG_DONTWAIT;
}

static void fill(int length)
{
	char seed = below(26);
	for (int i = 0; i < length; i++)
		buffer[i] = 'a' + (seed + i) % 26;
}

static unsigned sum(long length)
{
	unsigned hash = 0;
	for (long i = 0; i < length; i++)
		hash = hash * 31 + (unsigned char)buffer[i];
	return hash;
}

static void make(int i)
{
	int type = types[below(3)];
	if (below(3)) {
		int other = below(SLOTS), pair[2] = { -1, -1 };
		if (other == i)
			other = (other + 1) % SLOTS;
		printf("pair %d %d type %d", i, other, type);
		long n = socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, pair);
		close(slot[i]), close(slot[other]);
		slot[i] = pair[0], slot[other] = pair[1];
		result(n);
	} else {
		printf("socket %d type %d", i, type);
		close(slot[i]);
		slot[i] = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);
		result(slot[i] < 0 ? -1 : 0);
	}
}

static void send_one(int i)
{
	struct sockaddr_un a;
	int fd[4], length = pick_length(), count = below(4) ? 0 : below(4), to = below(4) ? -1 : (int)below(NAMES);
	union { char bytes[CMSG_SPACE(16 * sizeof(int))]; struct cmsghdr align; } control;
	fill(length);
	struct iovec v[2] = { { buffer, length / 3 }, { buffer + length / 3, length - length / 3 } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	memset(&control, 0, sizeof control);
	if (to >= 0)
		m.msg_namelen = name(&a, to), m.msg_name = &a;
	printf("send %d length %d to %d", i, length, to);
	if (count) {
		m.msg_control = &control;
		m.msg_controllen = CMSG_SPACE(count * sizeof(int));
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(count * sizeof(int));
		for (int k = 0; k < count; k++) {
			/* Only new sockets: those that could reach themselves go when Linux's collector gets to it, at no certain time. */
			int kind = below(8);
			fd[k] = kind == 0 ? 999 : kind < 4 ? dup(pipe_writer) : socket(AF_UNIX, types[kind % 3], 0);
			printf(" fd %d", kind);
		}
		memcpy(CMSG_DATA(c), fd, count * sizeof(int));
	}
	long n = sendmsg(slot[i], &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	int error = errno;
	for (int k = 0; k < count; k++)
		if (fd[k] != 999)
			close(fd[k]);
	errno = error;
	result(n);
}

static void receive_one(int i)
{
	struct sockaddr_un a;
	int length = pick_length(), flags = pick_flags(), room = below(3) ? CMSG_SPACE(16 * sizeof(int)) : below(40);
	union { char bytes[CMSG_SPACE(16 * sizeof(int)) + 64]; struct cmsghdr align; } control;
	struct iovec v[2] = { { buffer, length / 2 }, { buffer + length / 2, length - length / 2 } };
	struct msghdr m = { .msg_name = &a, .msg_namelen = sizeof a, .msg_iov = v, .msg_iovlen = 2, .msg_control = room ? &control : NULL, .msg_controllen = room };
	memset(&control, 0, sizeof control);
	memset(&a, 0, sizeof a);
	printf("receive %d length %d flags %x room %d", i, length, flags, room);
	long n = recvmsg(slot[i], &m, flags);
	int error = errno;
	if (n >= 0) {
		printf(" flags %x control %d sum %x from", m.msg_flags, (int)m.msg_controllen, sum(n < length ? n : length));
		show_address(&a, m.msg_namelen);
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
			if (c->cmsg_type == SCM_RIGHTS && c->cmsg_level == SOL_SOCKET) {
				int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int), keep = below(SLOTS);
				printf(" %d fds", count);
				for (int k = 0; k < count; k++) {
					int fd;
					struct stat st;
					memcpy(&fd, CMSG_DATA(c) + k * sizeof(int), sizeof fd);
					fstat(fd, &st);
					printf(" %o", st.st_mode & S_IFMT);
					if (S_ISSOCK(st.st_mode) && k == 0) {
						close(slot[keep]);
						slot[keep] = fd;
					} else {
						close(fd);
					}
				}
			} else if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len >= CMSG_LEN(12)) {
				struct ucred u;
				memcpy(&u, CMSG_DATA(c), sizeof u);
				printf(" creds %s %d %d", u.pid == getpid() ? "me" : "nobody", u.uid, u.gid);
			}
		}
	}
	errno = error;
	result(n);
}

static void show_state(int i)
{
	struct pollfd p = { slot[i], POLLIN | POLLOUT | POLLRDHUP, 0 };
	int in = -1, out = -1, error = -1, accepts = -1;
	socklen_t size = 4;
	poll(&p, 1, 0);
	long a = ioctl(slot[i], FIONREAD, &in), b = ioctl(slot[i], TIOCOUTQ, &out);
	getsockopt(slot[i], SOL_SOCKET, SO_ACCEPTCONN, &accepts, &size);
	getsockopt(slot[i], SOL_SOCKET, SO_ERROR, &error, &size);
	printf("state %d: events %x in %d out %d error %d accepts %d %ld %ld\n", i, p.revents, in, out, error, accepts, a, b);
}

static void step(void)
{
	struct sockaddr_un a;
	socklen_t size = sizeof a;
	int i = below(SLOTS), n, value;
	switch (below(20)) {
	case 0:
		make(i);
		break;
	case 1:
		n = below(NAMES);
		printf("bind %d to %d", i, n);
		result(bind(slot[i], (struct sockaddr *)&a, below(8) ? name(&a, n) : (name(&a, n), 2)));
		break;
	case 2:
		n = below(4);
		printf("listen %d %d", i, n);
		result(listen(slot[i], n));
		break;
	case 3:
	case 4:
		n = below(NAMES);
		size = name(&a, n);
		if (!below(12))
			a.sun_family = AF_UNSPEC;
		printf("connect %d to %d family %d", i, n, a.sun_family);
		result(connect(slot[i], (struct sockaddr *)&a, size));
		break;
	case 5:
		n = below(SLOTS);
		memset(&a, 0, sizeof a);
		printf("accept %d into %d", i, n);
		value = accept4(slot[i], (struct sockaddr *)&a, &size, SOCK_NONBLOCK);
		if (value >= 0) {
			show_address(&a, size);
			close(slot[n]);
			slot[n] = value;
		}
		result(value < 0 ? -1 : 0);
		break;
	case 6:
		n = below(4);
		printf("shutdown %d %d", i, n);
		result(shutdown(slot[i], n));
		break;
	case 7:
		printf("close %d", i);
		result(close(slot[i]));
		slot[i] = -1;
		break;
	case 8:
		memset(&a, 0, sizeof a);
		n = below(2);
		printf("%s %d", n ? "getpeername" : "getsockname", i);
		value = (n ? getpeername : getsockname)(slot[i], (struct sockaddr *)&a, &size);
		if (value == 0)
			show_address(&a, size);
		result(value);
		break;
	case 9:
		n = below(3);
		value = n == 0 ? (int)below(2) : n == 1 ? (int)below(100000) : 1 + (int)below(3000);
		printf("option %d %d %d", i, n, value);
		result(setsockopt(slot[i], SOL_SOCKET, n == 0 ? SO_PASSCRED : n == 1 ? SO_SNDBUF : SO_RCVLOWAT, &value, 4));
		break;
	case 10:
		n = below(NAMES);
		printf("unlink %d", n);
		name(&a, n);
		result(unlink(n < 2 ? a.sun_path : "none"));
		break;
	case 11:
		n = below(SLOTS);
		printf("dup %d to %d", i, n);
		value = dup(slot[i]);
		if (value >= 0) {
			close(slot[n]);
			slot[n] = value;
		}
		result(value < 0 ? -1 : 0);
		break;
	case 12:
		show_state(i);
		break;
	case 13:
		n = pick_length();
		printf("read %d %d", i, n);
		result(read(slot[i], buffer, n));
		break;
	case 14:
		n = pick_length();
		fill(n);
		printf("write %d %d", i, n);
		result(write(slot[i], buffer, n));
		break;
	case 15:
	case 16:
	case 17:
		send_one(i);
		break;
	default:
		receive_one(i);
	}
}

static void run(unsigned seed, int count)
{
	int pipes[2];
	printf("seed %u\n", seed);
	state = seed * 0x9e3779b97f4a7c15u + 1;
	for (int i = 0; i < SLOTS; i++)
		slot[i] = -1;
	if (pipe2(pipes, O_NONBLOCK))
		return;
	pipe_reader = pipes[0], pipe_writer = pipes[1];
	for (int i = 0; i < 4; i++)
		make(below(SLOTS));
	for (int i = 0; i < count; i++)
		step();
	for (int i = 0; i < SLOTS; i++)
		show_state(i);
	for (int i = 0; i < SLOTS; i++)
		close(slot[i]);
	close(pipe_reader), close(pipe_writer);
	unlink("name0");
	unlink("name1");
}

int main(int argc, char **argv)
{
	unsigned first = argc > 1 ? atoi(argv[1]) : 1, last = argc > 2 ? atoi(argv[2]) : 12;
	char directory[] = "/tmp/sockfuzz-XXXXXX";
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOFBF, 65536);
	if (!mkdtemp(directory) || chdir(directory))
		return 1;
	for (unsigned seed = first; seed <= last; seed++)
		run(seed, argc > 3 ? atoi(argv[3]) : 150);
	chdir("/");
	return rmdir(directory) != 0;
}
