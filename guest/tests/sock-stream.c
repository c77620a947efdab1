/* sock-stream.c: UNIX stream sockets and sequenced packets: names, connections, reading and writing, shutdown, buffers, poll, options. */
#include "check.h"
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

static void show_events(const char *name, int fd)
{
	struct pollfd p = { fd, POLLIN | POLLOUT | POLLRDHUP | POLLPRI, 0 };
	poll(&p, 1, 0);
	printf("%s:%s%s%s%s%s%s\n", name, p.revents & POLLIN ? " IN" : "", p.revents & POLLOUT ? " OUT" : "", p.revents & POLLRDHUP ? " RDHUP" : "",
	       p.revents & POLLHUP ? " HUP" : "", p.revents & POLLERR ? " ERR" : "", p.revents & POLLPRI ? " PRI" : "");
}

static socklen_t address(struct sockaddr_un *a, const char *name)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, name, strlen(name + 1) + 1);
	return offsetof(struct sockaddr_un, sun_path) + strlen(name + 1) + 1 + (name[0] != 0);
}

static void show_name(const char *what, int (*get)(int, struct sockaddr *, socklen_t *), int fd)
{
	struct sockaddr_un a;
	socklen_t size = sizeof a;
	memset(&a, 0, sizeof a);
	if (get(fd, (struct sockaddr *)&a, &size))
		printf("%s: %s\n", what, error_name(errno));
	else
		printf("%s: family %d length %d name %c%s\n", what, a.sun_family, (int)size, a.sun_path[0] ? a.sun_path[0] : '@', size > 2 ? a.sun_path + 1 : "");
}
static int sockname(int fd, struct sockaddr *a, socklen_t *n) { return getsockname(fd, a, n); }
static int peername(int fd, struct sockaddr *a, socklen_t *n) { return getpeername(fd, a, n); }

static int option(int fd, int name)
{
	int value = -77;
	socklen_t size = sizeof value;
	return getsockopt(fd, SOL_SOCKET, name, &value, &size) ? -1 : value;
}

static void creating(void)
{
	int pair[2];
	show("socket of an unknown family", socket(99, SOCK_STREAM, 0));
	show("socket of family -1", socket(-1, SOCK_STREAM, 0));
	show("socket of type 0", socket(AF_UNIX, 0, 0));
	show("socket of type 11", socket(AF_UNIX, 11, 0));
	show("socket of type 15", socket(AF_UNIX, 15, 0));
	show("socket with a wrong flag", socket(AF_UNIX, SOCK_STREAM | 0x100000, 0));
	show("socket of an unknown protocol", socket(AF_UNIX, SOCK_STREAM, 17));
	show("socket SOCK_RDM", socket(AF_UNIX, SOCK_RDM, 0));
	int fd = socket(AF_UNIX, SOCK_RAW, 0);
	show("type of a raw socket", option(fd, SO_TYPE));
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, PF_UNIX);
	show("protocol PF_UNIX", fd >= 0);
	close(fd);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	show("flags", fcntl(fd, F_GETFL));
	show("descriptor flags", fcntl(fd, F_GETFD));
	struct stat st;
	fstat(fd, &st);
	printf("mode %o size %ld blocks %ld\n", st.st_mode, (long)st.st_size, (long)st.st_blocks);
	char byte;
	show("read", read(fd, &byte, 1));
	show("lseek", lseek(fd, 0, SEEK_SET));
	show("pread", pread(fd, &byte, 1, 0));
	show("fsync", fsync(fd));
	show("ftruncate", ftruncate(fd, 0));
	show("mmap", (long)mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);
	show("socketpair to nowhere", syscall(SYS_socketpair, AF_UNIX, SOCK_STREAM, 0, 8));
	show("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	show_name("getsockname of a pair", sockname, pair[0]);
	show_name("getpeername of a pair", peername, pair[0]);
	show("getsockopt SO_DOMAIN", option(pair[0], SO_DOMAIN));
	show("SO_TYPE", option(pair[0], SO_TYPE));
	show("SO_PROTOCOL", option(pair[0], SO_PROTOCOL));
	show("SO_ACCEPTCONN", option(pair[0], SO_ACCEPTCONN));
	show("SO_ERROR", option(pair[0], SO_ERROR));
	show("SO_SNDBUF", option(pair[0], SO_SNDBUF));
	show("SO_RCVBUF", option(pair[0], SO_RCVBUF));
	show("SO_RCVLOWAT", option(pair[0], SO_RCVLOWAT));
	show("SO_SNDLOWAT", option(pair[0], SO_SNDLOWAT));
	show("SO_PASSCRED", option(pair[0], SO_PASSCRED));
	show("SO_REUSEADDR", option(pair[0], SO_REUSEADDR));
	show("an unknown option", option(pair[0], 999));
	int one = 1;
	show("setsockopt SO_REUSEADDR", setsockopt(pair[0], SOL_SOCKET, SO_REUSEADDR, &one, 4));
	show("is set", option(pair[0], SO_REUSEADDR));
	show("setsockopt with 2 bytes", setsockopt(pair[0], SOL_SOCKET, SO_REUSEADDR, &one, 2));
	show("setsockopt SO_TYPE", setsockopt(pair[0], SOL_SOCKET, SO_TYPE, &one, 4));
	show("setsockopt of an unknown option", setsockopt(pair[0], SOL_SOCKET, 999, &one, 4));
	show("setsockopt of IPPROTO_TCP", setsockopt(pair[0], 6, 1, &one, 4));
	show("getsockopt on a file", getsockopt(0x7fff, SOL_SOCKET, SO_TYPE, &one, (socklen_t[]){ 4 }));
	for (int size = 1; size < 1000000; size *= 30) {
		setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, 4);
		setsockopt(pair[0], SOL_SOCKET, SO_RCVBUF, &size, 4);
		printf("buffers of %d: %d %d\n", size, option(pair[0], SO_SNDBUF), option(pair[0], SO_RCVBUF));
	}
	struct ucred cred;
	socklen_t size = sizeof cred;
	getsockopt(pair[0], SOL_SOCKET, SO_PEERCRED, &cred, &size);
	printf("peer: %s uid %d gid %d size %d\n", cred.pid == getpid() ? "me" : "?", cred.uid, cred.gid, (int)size);
	close(pair[0]);
	close(pair[1]);
	show("not a socket", listen(1, 1));
	show("not open", listen(77, 1));
}

static void naming(void)
{
	struct sockaddr_un a;
	char cwd[] = "/tmp/sock-stream-XXXXXX";
	if (!mkdtemp(cwd) || chdir(cwd))
		return;
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
	show_name("unbound", sockname, fd);
	show_name("unconnected", peername, fd);
	show("listen without a name", listen(fd, 1));
	show("accept", accept(fd, NULL, NULL));
	show("bind to 1 byte", bind(fd, (struct sockaddr *)&a, 1));
	socklen_t size = address(&a, "name");
	a.sun_family = 2;
	show("bind with another family", bind(fd, (struct sockaddr *)&a, size));
	a.sun_family = AF_UNIX;
	show("bind to 111 bytes", bind(fd, (struct sockaddr *)&a, 111));
	show("bind to 200 bytes", bind(fd, (struct sockaddr *)&a, 200));
	show("bind with a bad pointer", bind(fd, (struct sockaddr *)8, size));
	umask(027);
	show("bind", bind(fd, (struct sockaddr *)&a, size));
	struct stat st;
	show("stat", stat("name", &st));
	printf("mode %o\n", st.st_mode);
	show_name("bound", sockname, fd);
	show("bind again", bind(fd, (struct sockaddr *)&a, size));
	show("bind another to it", bind(other, (struct sockaddr *)&a, size));
	show("open", open("name", O_RDWR));
	show("connect before listen", connect(other, (struct sockaddr *)&a, size));
	show("listen", listen(fd, 0));
	show("SO_ACCEPTCONN", option(fd, SO_ACCEPTCONN));
	show_events("a listener", fd);
	show("connect", connect(other, (struct sockaddr *)&a, size));
	fcntl(other, F_SETFL, O_NONBLOCK);
	show("connect again", connect(other, (struct sockaddr *)&a, size));
	show_events("with a connection", fd);
	show_name("peer of the client", peername, other);
	show("write before accept", write(other, "early", 5));
	int third = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	show("a connect that would wait", connect(third, (struct sockaddr *)&a, size));
	show("a longer backlog", listen(fd, 2));
	show("connect again", connect(other, (struct sockaddr *)&a, size));
	int packets = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	show("connect of another type", connect(packets, (struct sockaddr *)&a, size));
	close(packets);
	struct sockaddr_un from;
	socklen_t from_size = sizeof from;
	int accepted = accept4(fd, (struct sockaddr *)&from, &from_size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	printf("accepted: family %d length %d flags %o %d\n", from.sun_family, (int)from_size, fcntl(accepted, F_GETFL), fcntl(accepted, F_GETFD));
	show("accept4 with wrong flags", accept4(fd, NULL, NULL, 1));
	show_name("name of the accepted", sockname, accepted);
	show_name("its peer", peername, accepted);
	char text[32] = "";
	show("read", read(accepted, text, sizeof text));
	printf("%s\n", text);
	show("read more", read(accepted, text, sizeof text));
	show("unlink", unlink("name"));
	show("connect to nothing", connect(third, (struct sockaddr *)&a, size));
	int file = open("file", O_CREAT | O_RDWR, 0600);
	size = address(&a, "file");
	show("connect to a file", connect(third, (struct sockaddr *)&a, size));
	size = address(&a, "nowhere/name");
	show("bind in no directory", bind(third, (struct sockaddr *)&a, size));
	show("accept by a client", accept(accepted, NULL, NULL));
	show("listen by a client", listen(other, 3));
	close(fd);
	show("write after the listener is gone", write(other, "late", 4));
	show("read", read(accepted, text, sizeof text));
	close(accepted);
	close(other);
	close(third);
	close(file);

	/* Abstract names */
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	size = address(&a, "\0abstract");
	show("bind abstract", bind(fd, (struct sockaddr *)&a, size));
	show_name("name", sockname, fd);
	other = socket(AF_UNIX, SOCK_STREAM, 0);
	show("taken", bind(other, (struct sockaddr *)&a, size));
	int dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
	show("free for another type", bind(dgram, (struct sockaddr *)&a, size));
	close(dgram);
	listen(fd, 5);
	show("a longer name", connect(other, (struct sockaddr *)&a, size + 1));
	show("connect", connect(other, (struct sockaddr *)&a, size));
	close(fd);
	char byte;
	show("listener closed: read", read(other, &byte, 1));
	show("again", read(other, &byte, 1));
	show_events("orphan", other);
	close(other);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	show("the name is free again", bind(fd, (struct sockaddr *)&a, size));
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	a.sun_family = AF_UNIX;
	show("autobind", bind(fd, (struct sockaddr *)&a, 2));
	memset(&a, 0, sizeof a);
	size = sizeof a;
	getsockname(fd, (struct sockaddr *)&a, &size);
	printf("autobind: length %d digits %d\n", (int)size, (int)strspn(a.sun_path + 1, "0123456789abcdef"));
	size = 1;
	show("getsockname into 1 byte", getsockname(fd, (struct sockaddr *)&a, &size));
	show("real size", size);
	size = -1;
	show("getsockname into -1 bytes", getsockname(fd, (struct sockaddr *)&a, &size));
	close(fd);
}

static void stream(void)
{
	int p[2];
	char text[64] = "";
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, p);
	show_events("fresh", p[0]);
	show("read of nothing", read(p[0], text, 10));
	show("read of 0 bytes", read(p[0], text, 0));
	show("write of 0 bytes", write(p[0], text, 0));
	show("write", write(p[1], "abc", 3));
	show("write", send(p[1], "defgh", 5, 0));
	show_events("with data", p[0]);
	int n = -1;
	show("FIONREAD", ioctl(p[0], FIONREAD, &n));
	show("says", n);
	show("peek", recv(p[0], text, 4, MSG_PEEK));
	printf("%.4s\n", text);
	show("read across writes", read(p[0], text, 6));
	printf("%.6s\n", text);
	show("recv with MSG_TRUNC", recv(p[0], text, 1, MSG_TRUNC));
	show("the rest", read(p[0], text, 60));
	show("sendto with a name", sendto(p[0], "x", 1, 0, (struct sockaddr *)&(struct sockaddr_un){ AF_UNIX, "x" }, 4));
	struct iovec v[3] = { { "12", 2 }, { "", 0 }, { "345", 3 } };
	show("writev", writev(p[1], v, 3));
	char a[2], b[9];
	struct iovec r[2] = { { a, 2 }, { b, 9 } };
	show("readv", readv(p[0], r, 2));
	printf("%.2s %.3s\n", a, b);
	show("write from a bad pointer", write(p[1], (void *)8, 4));
	write(p[1], "lost", 4);
	show("read to a bad pointer", read(p[0], (void *)8, 4));
	show("recv to a bad pointer", recv(p[0], (void *)8, 4, 0));
	show("still there", recv(p[0], text, 9, MSG_DONTWAIT));

	/* How much fits, by the size of writes */
	for (int size = 1; size <= 100000; size = size * 7 + 1) {
		int q[2];
		char *block = calloc(1, size);
		long total = 0, writes = 0, got;
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, q);
		while ((got = write(q[0], block, size)) > 0)
			total += got, writes++;
		printf("writes of %d: %ld writes, %ld bytes, %s\n", size, writes, total, error_name(errno));
		int out = 0, in = 0;
		ioctl(q[0], TIOCOUTQ, &out);
		ioctl(q[1], FIONREAD, &in);
		printf("queued %d, buffers %d\n", in, out);
		show_events("full", q[0]);
		read(q[1], block, size);
		show_events("after one read", q[0]);
		free(block);
		close(q[0]);
		close(q[1]);
	}

	/* Shutdown */
	show("shutdown(3)", shutdown(p[0], 3));
	show("shutdown(-1)", shutdown(p[0], -1));
	write(p[1], "left", 4);
	show("shutdown for writing", shutdown(p[1], SHUT_WR));
	show_events("the reader", p[0]);
	show_events("the writer", p[1]);
	show("reads what is left", read(p[0], text, 9));
	show("then the end", read(p[0], text, 9));
	signal(SIGPIPE, SIG_IGN);
	show("writing", write(p[1], "x", 1));
	show("the other way works", write(p[0], "back", 4));
	show("read", read(p[1], text, 9));
	show("shutdown for reading", shutdown(p[1], SHUT_RD));
	show("write to it", write(p[0], "x", 1));
	show_events("both ways", p[0]);
	signal(SIGPIPE, SIG_DFL);
	show("no signal with MSG_NOSIGNAL", send(p[0], "x", 1, MSG_NOSIGNAL));
	show("signal", WTERMSIG(in_child(write(p[0], "x", 1))));
	close(p[0]);
	close(p[1]);

	/* The other side closes */
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	write(p[1], "unread", 6);
	write(p[0], "to be lost", 10);
	close(p[1]);
	show_events("closed with unread data", p[0]);
	show("read", read(p[0], text, 60));
	show("SO_ERROR", option(p[0], SO_ERROR));
	show("read at the end", read(p[0], text, 60));
	show("write", send(p[0], "x", 1, MSG_NOSIGNAL));
	show_events("dead", p[0]);
	close(p[0]);
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	close(p[1]);
	show("read at once", read(p[0], text, 60));
	close(p[0]);

	/* Time limits */
	socketpair(AF_UNIX, SOCK_STREAM, 0, p);
	struct timeval limit = { 0, 30000 }, back;
	show("SO_RCVTIMEO", setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	socklen_t size = sizeof back;
	getsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &back, &size);
	printf("%ld %ld %d\n", (long)back.tv_sec, (long)back.tv_usec, (int)size);
	show("read until then", read(p[0], text, 9));
	limit.tv_usec = 1000000;
	show("impossible", setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	show("short", setsockopt(p[0], SOL_SOCKET, SO_RCVTIMEO, &limit, 8));
	close(p[0]);
	close(p[1]);
}

static void packets(void)
{
	int p[2];
	char text[64] = "";
	socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, p);
	show("seqpacket: send", send(p[0], "first", 5, 0));
	show("send", send(p[0], "second one", 10, 0));
	show("send nothing", send(p[0], "", 0, 0));
	show("write nothing", write(p[0], "", 0));
	int n;
	ioctl(p[1], FIONREAD, &n);
	show("FIONREAD", n);
	struct iovec v = { text, 3 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };
	show("recvmsg", recvmsg(p[1], &m, 0));
	printf("%.3s flags %x\n", text, m.msg_flags);
	show("peek with MSG_TRUNC", recv(p[1], text, 4, MSG_PEEK | MSG_TRUNC));
	show("recv", recv(p[1], text, 60, 0));
	show("the empty one", recv(p[1], text, 60, 0));
	show("no more", recv(p[1], text, 60, 0));
	static char big[300000];
	show("too long", send(p[0], big, sizeof big, 0));
	show("as long as can be", send(p[0], big, 212960, 0));
	show("one byte more", send(p[0], big, 212961, 0));
	show("recv", recv(p[1], big, sizeof big, 0));
	show("sendto with a name", sendto(p[0], "x", 1, 0, (struct sockaddr *)&(struct sockaddr_un){ AF_UNIX, "x" }, 4));
	show("recv", recv(p[1], big, sizeof big, 0));
	show("MSG_WAITALL", (send(p[0], "ab", 2, 0), recv(p[1], text, 10, MSG_WAITALL)));
	close(p[0]);
	show_events("closed", p[1]);
	show("recv at the end", recv(p[1], text, 60, 0));
	show("send", send(p[1], "x", 1, MSG_NOSIGNAL));
	close(p[1]);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	show("unconnected: send", send(fd, "x", 1, 0));
	show("recv", recv(fd, text, 1, 0));
	show_events("unconnected", fd);
	close(fd);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	show("stream unconnected: send", send(fd, "x", 1, 0));
	show("recv", recv(fd, text, 1, 0));
	show_events("unconnected", fd);
	close(fd);
}

static void waiting(void)
{
	struct sockaddr_un a;
	socklen_t size = address(&a, "\0waiting");
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bind(fd, (struct sockaddr *)&a, size);
	listen(fd, 1);
	pid_t child = fork();
	if (child == 0) {
		for (int i = 0; i < 5; i++) {
			int c = socket(AF_UNIX, SOCK_STREAM, 0);
			usleep(2000);
			if (connect(c, (struct sockaddr *)&a, size))
				_exit(1);
			static char block[300000];
			memset(block, 'a' + i, sizeof block);
			if (write(c, block, sizeof block) != sizeof block)
				_exit(2);
			char answer[4];
			if (recv(c, answer, 4, MSG_WAITALL) != 4)
				_exit(3);
			close(c);
		}
		_exit(0);
	}
	for (int i = 0; i < 5; i++) {
		int c = accept(fd, NULL, NULL);
		long total = 0, n;
		static char block[70000];
		while (total < 300000 && (n = read(c, block, sizeof block)) > 0)
			total += n;
		printf("connection %d: %ld bytes of %c\n", i, total, block[0]);
		write(c, "do", 2);
		usleep(1000);
		write(c, "ne", 2);
		printf("then %ld\n", (long)read(c, block, 1));
		close(c);
	}
	show("client", ended(child));
	close(fd);
}

int main(void)
{
	creating();
	naming();
	stream();
	packets();
	waiting();
	return 0;
}
