/* sock-dgram.c: UNIX datagrams, and what travels with messages: descriptors, credentials; sockets sent through themselves. */
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

static socklen_t address(struct sockaddr_un *a, const char *name)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	a->sun_path[0] = 0;
	strcpy(a->sun_path + 1, name);
	return 3 + strlen(name);
}

static int bound(int type, const char *name)
{
	struct sockaddr_un a;
	socklen_t size = address(&a, name);
	int fd = socket(AF_UNIX, type, 0);
	if (bind(fd, (struct sockaddr *)&a, size))
		perror("bind");
	return fd;
}

static int join(int fd, const char *name)
{
	struct sockaddr_un a;
	socklen_t size = address(&a, name);
	return connect(fd, (struct sockaddr *)&a, size);
}

static long send_to(int fd, const char *name, const char *text, int flags)
{
	struct sockaddr_un a;
	socklen_t size = address(&a, name);
	return sendto(fd, text, strlen(text), flags, (struct sockaddr *)&a, size);
}

static void show_events(const char *name, int fd)
{
	struct pollfd p = { fd, POLLIN | POLLOUT | POLLRDHUP, 0 };
	poll(&p, 1, 0);
	printf("%s:%s%s%s%s%s\n", name, p.revents & POLLIN ? " IN" : "", p.revents & POLLOUT ? " OUT" : "", p.revents & POLLRDHUP ? " RDHUP" : "",
	       p.revents & POLLHUP ? " HUP" : "", p.revents & POLLERR ? " ERR" : "");
}

static void show_received(const char *what, int fd, int flags)
{
	char text[64] = "";
	struct sockaddr_un a;
	memset(&a, 0, sizeof a);
	socklen_t size = sizeof a;
	errno = 0;
	long n = recvfrom(fd, text, 60, flags, (struct sockaddr *)&a, &size);
	if (n < 0)
		printf("%s: %s\n", what, error_name(errno));
	else
		printf("%s: %ld bytes '%s' from %d '%s'\n", what, n, text, (int)size, size > 2 ? a.sun_path + 1 : "");
}

static int option(int fd, int name)
{
	int value = -77;
	socklen_t size = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &size) ? -1 : value;
}

static void datagrams(void)
{
	int a = bound(SOCK_DGRAM, "a"), b = bound(SOCK_DGRAM, "b"), none = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	show("listen", listen(a, 1));
	show("accept", accept(a, NULL, NULL));
	show("send without a peer", send(a, "x", 1, 0));
	show("sendto", send_to(a, "b", "hello", 0));
	show_received("received", b, 0);
	show("from one without a name", send_to(none, "b", "anonymous", 0));
	show_received("received", b, 0);
	show("to nobody", send_to(none, "nobody", "x", 0));
	show("an empty one", send_to(none, "b", "", 0));
	show_events("empty datagram", b);
	show_received("received", b, 0);
	show_received("nothing", b, MSG_DONTWAIT);
	show("MSG_OOB", send_to(none, "b", "x", MSG_OOB));
	int n = 0;
	send_to(none, "b", "one", 0);
	send_to(none, "b", "three", 0);
	ioctl(b, FIONREAD, &n);
	show("FIONREAD", n);
	char text[8];
	show("short read", read(b, text, 1));
	show_received("the next", b, 0);

	/* Connected */
	show("connect", join(a, "b"));
	show("send", send(a, "to b", 4, 0));
	show_received("received", b, 0);
	show("another may not answer", join(b, "a"));
	show("a stranger sends", send_to(none, "b", "x", 0));
	show("sendto elsewhere", send_to(a, "a", "to myself", 0));
	struct sockaddr_un unspec = { .sun_family = AF_UNSPEC };
	show("disconnect", connect(b, (struct sockaddr *)&unspec, sizeof unspec));
	show("the stranger again", send_to(none, "b", "now", 0));
	show_received("received", b, 0);

	/* A full queue */
	int sent = 0;
	while (send_to(none, "b", "x", 0) == 1)
		sent++;
	printf("%d datagrams, then %s\n", sent, error_name(errno));
	join(none, "b");
	show_events("sender of a full one", none);
	show_received("one less", b, 0);
	show_events("sender", none);
	show("fits again", send(none, "y", 1, 0));
	show("and no more", send(none, "y", 1, 0));
	for (int i = 0; i < 11; i++)
		recv(b, text, 8, 0);
	int pair[2];
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
	for (sent = 0; send(pair[0], "x", 1, 0) == 1; sent++)
		;
	printf("through a pair: %d datagrams, then %s\n", sent, error_name(errno));
	show_events("full pair", pair[0]);
	recv(pair[1], text, 8, 0);
	show("room for one", send(pair[0], "x", 1, 0));
	ioctl(pair[0], TIOCOUTQ, &n);
	show("TIOCOUTQ", n);
	for (int size = 10; size < 250000; size *= 8) {
		int q[2];
		static char block[250000];
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, q);
		for (sent = 0; send(q[0], block, size, 0) == size; sent++)
			;
		printf("of %d bytes: %d, then %s\n", size, sent, error_name(errno));
		close(q[0]);
		close(q[1]);
	}

	/* Shutdown and close */
	show("shutdown for reading", shutdown(pair[1], SHUT_RD));
	show("send to it", send(pair[0], "x", 1, 0));
	show_events("shut down", pair[1]);
	close(pair[1]);
	show("to a closed one", send(pair[0], "x", 1, 0));
	show("again", send(pair[0], "x", 1, 0));
	show_events("left alone", pair[0]);
	close(pair[0]);
	socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
	shutdown(pair[0], SHUT_WR);
	show("after shutdown for writing", send(pair[0], "x", 1, MSG_NOSIGNAL));
	close(pair[0]);
	close(pair[1]);
	close(a);
	close(b);
	close(none);

	/* Many at once */
	socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
	struct mmsghdr many[4];
	struct iovec v[4];
	static char buffer[4][8];
	memset(many, 0, sizeof many);
	for (int i = 0; i < 4; i++) {
		v[i] = (struct iovec){ (char *)"12345" + i, 5 - i };
		many[i].msg_hdr = (struct msghdr){ .msg_iov = &v[i], .msg_iovlen = 1 };
	}
	show("sendmmsg", sendmmsg(pair[0], many, 4, 0));
	printf("%u %u %u %u\n", many[0].msg_len, many[1].msg_len, many[2].msg_len, many[3].msg_len);
	for (int i = 0; i < 4; i++)
		v[i] = (struct iovec){ buffer[i], 3 };
	show("recvmmsg", recvmmsg(pair[1], many, 3, 0, NULL));
	printf("%u %u %u flags %x %x %x '%.3s'\n", many[0].msg_len, many[1].msg_len, many[2].msg_len, many[0].msg_hdr.msg_flags, many[1].msg_hdr.msg_flags,
	       many[2].msg_hdr.msg_flags, buffer[1]);
	show("recvmmsg of what is left", recvmmsg(pair[1], many, 4, 0, NULL));
	show("recvmmsg of nothing", recvmmsg(pair[1], many, 4, 0, NULL));
	struct timespec wrong = { 0, 2000000000 };
	show("recvmmsg with a wrong time", recvmmsg(pair[1], many, 4, 0, &wrong));
	close(pair[0]);
	close(pair[1]);
}

/* Sends `text` with control messages; `count` descriptors. */
static long send_fds(int to, const char *text, const int *fds, int count)
{
	union { char bytes[CMSG_SPACE(300 * sizeof(int))]; struct cmsghdr align; } control;
	struct iovec v = { (char *)text, strlen(text) };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	memset(&control, 0, sizeof control);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(c), fds, count * sizeof(int));
	errno = 0;
	return sendmsg(to, &m, 0);
}

/* Receives and says what came; up to `room` bytes of control. Returns the first descriptor. */
static int show_message(const char *what, int fd, int length, int room, int flags)
{
	union { char bytes[1024]; struct cmsghdr align; } control;
	char text[64] = "";
	struct iovec v = { text, length };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room ? &control : NULL, .msg_controllen = room };
	int first = -1;
	memset(&control, 0, sizeof control);
	errno = 0;
	long n = recvmsg(fd, &m, flags);
	if (n < 0) {
		printf("%s: %s\n", what, error_name(errno));
		return -1;
	}
	printf("%s: '%s' flags %x control %d", what, text, m.msg_flags, (int)m.msg_controllen);
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
			int count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			printf(" [%d descriptors, %d bytes]", count, (int)c->cmsg_len);
			for (int i = 0; i < count; i++) {
				int got;
				memcpy(&got, CMSG_DATA(c) + i * sizeof(int), sizeof got);
				if (i == 0)
					first = got;
				else
					close(got);
			}
		} else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
			struct ucred u;
			memcpy(&u, CMSG_DATA(c), sizeof u);
			printf(" [%s uid %d gid %d, %d bytes]", u.pid == getpid() ? "me" : u.pid == getppid() ? "parent" : u.pid ? "another" : "nobody", u.uid, u.gid, (int)c->cmsg_len);
		} else {
			printf(" [level %d type %d]", c->cmsg_level, c->cmsg_type);
		}
	}
	printf("\n");
	return first;
}

static void descriptors(int type)
{
	int p[2], pipes[2];
	char text[8] = "";
	socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, p);
	if (pipe(pipes))
		return;
	show("send a descriptor", send_fds(p[0], "x", &pipes[1], 1));
	close(pipes[1]);
	show("the pipe has a writer", read(pipes[0], text, fcntl(pipes[0], F_SETFL, O_NONBLOCK)));
	int got = show_message("received", p[1], 10, 100, MSG_CMSG_CLOEXEC);
	show("close on exec", fcntl(got, F_GETFD));
	show("write through it", write(got, "hi", 2));
	show("read", read(pipes[0], text, 8));
	close(got);
	show("closed: the end", read(pipes[0], text, 8));

	int three[3] = { pipes[0], p[0], 1 };
	send_fds(p[0], "abc", three, 3);
	send(p[0], "def", 3, 0);
	close(show_message("peek", p[1], 2, 100, MSG_PEEK));
	close(show_message("three, not all of the text", p[1], 2, 100, 0));
	close(show_message("the rest", p[1], 10, 100, 0));
	close(show_message("the rest", p[1], 10, 100, 0));
	send_fds(p[0], "room", three, 3);
	close(show_message("room for two", p[1], 10, CMSG_LEN(8), 0));
	send_fds(p[0], "no room", three, 3);
	close(show_message("no room", p[1], 10, 0, 0));
	send_fds(p[0], "little", three, 3);
	close(show_message("room for a header", p[1], 10, 16, 0));
	send_fds(p[0], "little", three, 3);
	close(show_message("not even that", p[1], 10, 15, 0));
	send_fds(p[0], "read", three, 3);
	show("read drops them", read(p[1], text, 8));
	int bad = 99;
	show("a bad descriptor", send_fds(p[0], "x", &bad, 1));
	int many[300];
	for (int i = 0; i < 300; i++)
		many[i] = 1;
	show("254 descriptors", send_fds(p[0], "x", many, 254));
	show("253 descriptors", send_fds(p[0], "x", many, 253));
	close(show_message("253 received", p[1], 10, 1024, 0));
	show("no text", send_fds(p[0], "", three, 1));
	close(show_message("received", p[1], 10, 100, 0));
	send_fds(p[0], "one", three, 1);
	send_fds(p[0], "two", three, 2);
	send(p[0], "plain", 5, 0);
	send_fds(p[0], "three", three, 3);
	close(show_message("one by one", p[1], 60, 100, 0));
	close(show_message("one by one", p[1], 60, 100, 0));
	close(show_message("one by one", p[1], 60, 100, 0));
	close(show_message("one by one", p[1], 60, 100, 0));

	/* Wrong control messages */
	union { char bytes[64]; struct cmsghdr align; } control;
	struct iovec v = { "x", 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = 24 };
	memset(&control, 0, sizeof control);
	control.align.cmsg_len = 8;
	show("too short", sendmsg(p[0], &m, 0));
	control.align.cmsg_len = 100;
	show("too long", sendmsg(p[0], &m, 0));
	control.align = (struct cmsghdr){ .cmsg_len = 20, .cmsg_level = SOL_SOCKET, .cmsg_type = 77 };
	show("unknown", sendmsg(p[0], &m, 0));
	control.align = (struct cmsghdr){ .cmsg_len = 20, .cmsg_level = 41, .cmsg_type = 77 };
	show("of another level", sendmsg(p[0], &m, 0));
	m.msg_control = (void *)8;
	show("at a bad place", sendmsg(p[0], &m, 0));
	m.msg_iovlen = 2000;
	show("too many buffers", sendmsg(p[0], &m, 0));
	m.msg_iovlen = 1;
	m.msg_controllen = 1 << 20;
	show("too much control", sendmsg(p[0], &m, 0));
	close(p[0]);
	close(p[1]);
	close(pipes[0]);
}

static void credentials(int type)
{
	int p[2], on = 1;
	socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, p);
	send(p[0], "before", 6, 0);
	show("SO_PASSCRED", setsockopt(p[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	show("is", option(p[1], SO_PASSCRED));
	send(p[0], "after", 5, 0);
	show_message("received", p[1], 60, 100, 0);
	show_message("received", p[1], 60, 100, 0);
	int child = in_child(setresgid(7, 7, 7), setresuid(5, 5, 5), send(p[0], "by a child", 10, 0));
	show("child", child);
	send(p[0], "by me", 5, 0);
	show_message("received", p[1], 60, 100, 0);
	show_message("received", p[1], 60, 100, 0);
	send_fds(p[0], "both", &on, 1);
	close(show_message("with a descriptor", p[1], 60, 100, 0));
	send(p[0], "small", 5, 0);
	show_message("no room for it all", p[1], 60, 20, 0);
	send(p[0], "none", 4, 0);
	show_message("no room", p[1], 60, 0, 0);
	struct { struct cmsghdr head; struct ucred cred; int pad; } control = { { CMSG_LEN(12), SOL_SOCKET, SCM_CREDENTIALS }, { getpid(), 3, 4 }, 0 };
	struct iovec v = { "given", 5 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = 32 };
	show("root gives any", sendmsg(p[0], &m, 0));
	show_message("received", p[1], 60, 100, 0);
	control.cred.pid = 30000;
	show("of nobody", sendmsg(p[0], &m, 0));
	control.cred.pid = getpid();
	show("others may not", WEXITSTATUS(in_child(setresuid(5, 5, 5), failures = sendmsg(p[0], &m, 0) < 0 && errno == EPERM)));
	close(p[0]);
	close(p[1]);
}

static void peers(void)
{
	struct sockaddr_un a;
	socklen_t size = address(&a, "peers");
	int fd = bound(SOCK_STREAM, "peers"), go[2];
	struct ucred c;
	if (pipe(go))
		return;
	listen(fd, 1);
	pid_t child = fork();
	if (child == 0) {
		int s = socket(AF_UNIX, SOCK_STREAM, 0);
		setresgid(7, 7, 7);
		setresuid(5, 5, 5);
		connect(s, (struct sockaddr *)&a, size);
		char byte;
		read(s, &byte, 1);
		socklen_t n = sizeof c;
		getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c, &n);
		printf("the client's peer: %s %d %d\n", c.pid == getppid() ? "parent" : "?", c.uid, c.gid);
		_exit(0);
	}
	int s = accept(fd, NULL, NULL);
	socklen_t n = sizeof c;
	getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c, &n);
	printf("the server's peer: %s %d %d\n", c.pid == child ? "child" : "?", c.uid, c.gid);
	write(s, "x", 1);
	show("child", ended(child));
	n = 4;
	show("SO_PEERCRED into 4 bytes", getsockopt(s, SOL_SOCKET, SO_PEERCRED, &c, &n));
	show("size", n);
	int alone = socket(AF_UNIX, SOCK_STREAM, 0);
	n = sizeof c;
	getsockopt(alone, SOL_SOCKET, SO_PEERCRED, &c, &n);
	printf("no peer: %d %d %d\n", c.pid, c.uid, c.gid);
}

/* Sockets that only messages refer to are closed: the pipe that travels with them ends. */
static void garbage(void)
{
	int p[2], q[2], pipes[2];
	char byte;
	if (pipe(pipes))
		return;
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	int both[2] = { p[1], pipes[1] };
	show("a socket through itself", send_fds(p[0], "x", both, 2));
	close(p[1]);
	close(p[0]);
	close(pipes[1]);
	usleep(200000);
	show("the pipe has ended", read(pipes[0], &byte, 1));
	close(pipes[0]);

	if (pipe(pipes))
		return;
	fcntl(pipes[0], F_SETFL, O_NONBLOCK);
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	socketpair(AF_UNIX, SOCK_STREAM, 0, q);
	send_fds(p[0], "x", &q[1], 1);
	int two[2] = { p[1], pipes[1] };
	send_fds(q[0], "x", two, 2);
	close(pipes[1]);
	close(p[1]);
	close(q[1]);
	show("two through each other: alive", read(pipes[0], &byte, 1));
	int back = show_message("and received", p[0], 1, 100, MSG_DONTWAIT);
	(void)back;
	close(p[0]);
	close(q[0]);
	usleep(200000);
	show("gone", read(pipes[0], &byte, 1));
}

int main(void)
{
	datagrams();
	printf("stream\n");
	descriptors(SOCK_STREAM);
	printf("datagram\n");
	descriptors(SOCK_DGRAM);
	printf("stream\n");
	credentials(SOCK_STREAM);
	printf("seqpacket\n");
	credentials(SOCK_SEQPACKET);
	peers();
	garbage();
	return 0;
}
