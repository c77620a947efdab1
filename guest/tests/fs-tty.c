/* Terminals: a pty's line discipline, job control, window size, hang-up. */
#include "check.h"
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

static int master, slave;

static void show_bytes(const char *name, const char *bytes, long n)
{
	printf("%s: ", name);
	if (n < 0)
		printf("%s", error_name(errno));
	for (long i = 0; i < n; i++)
		if (bytes[i] >= ' ' && bytes[i] < 127)
			putchar(bytes[i]);
		else
			printf("\\%03o", (unsigned char)bytes[i]);
	putchar('\n');
}

/* What the other end has, without waiting. */
static void drain(const char *name, int fd)
{
	char buf[1000];
	struct pollfd p = { .fd = fd, .events = POLLIN };
	if (poll(&p, 1, 30) == 0) {
		printf("%s: nothing\n", name);
		return;
	}
	/* what comes from a program may come in pieces; what was typed comes a line at a time */
	long n = read(fd, buf, sizeof(buf));
	while (fd == master && n > 0 && poll(&p, 1, 30) > 0 && p.revents & POLLIN)
		n += read(fd, buf + n, sizeof(buf) - n);
	show_bytes(name, buf, n);
}

/* Linux hands what was typed to the line discipline in a work queue: a moment later. */
static void type(const char *text)
{
	write(master, text, strlen(text));
	usleep(30000);
}

static void open_pair(void)
{
	master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	unsigned n = 99;
	int lock = 0;
	char name[40];
	ioctl(master, TIOCGPTN, &n);
	snprintf(name, sizeof(name), "/dev/pts/%u", n);
	show("open of a locked slave", open(name, O_RDWR | O_NOCTTY));
	show("unlock", ioctl(master, TIOCSPTLCK, &lock));
	slave = open(name, O_RDWR | O_NOCTTY);
	struct stat st;
	fstat(slave, &st);
	printf("slave mode %o\n", st.st_mode);
	printf("isatty %d %d\n", isatty(master), isatty(slave));
}

static struct termios saved;

static void settings(void)
{
	struct termios t;
	tcgetattr(slave, &t);
	saved = t;
	printf("iflag %o oflag %o cflag %o lflag %o\n", t.c_iflag, t.c_oflag, t.c_cflag, t.c_lflag);
	for (int i = 0; i < 17; i++)
		printf("%d ", t.c_cc[i]);
	putchar('\n');
	struct winsize w = { 1, 2, 3, 4 };
	show("TIOCGWINSZ", ioctl(slave, TIOCGWINSZ, &w));
	printf("%d %d\n", w.ws_row, w.ws_col);
	w = (struct winsize){ 24, 80, 0, 0 };
	show("TIOCSWINSZ", ioctl(master, TIOCSWINSZ, &w));
	w = (struct winsize){ 0 };
	ioctl(slave, TIOCGWINSZ, &w);
	printf("%d %d\n", w.ws_row, w.ws_col);
	show("TIOCGPGRP of a foreign terminal", ioctl(slave, TIOCGPGRP, &w));
	show("TIOCGSID of a foreign terminal", ioctl(slave, TIOCGSID, &w));
	show("TIOCSPGRP of a foreign terminal", ioctl(slave, TIOCSPGRP, &w));
	show("lseek", lseek(slave, 0, SEEK_SET));
	show("unknown ioctl", ioctl(slave, 0x1234, 0));
}

static void editing(void)
{
	char buf[200];
	type("hello\n");
	drain("echo", master);
	drain("line", slave);
	type("abc");
	drain("echo of a part", master);
	drain("no line yet", slave);
	type("\177\177x\n");
	drain("echo of erasing", master);
	drain("edited", slave);
	type("some words here\027there\n");
	drain("echo of word erase", master);
	drain("edited", slave);
	type("killed\025kept\n");
	drain("echo of kill", master);
	drain("edited", slave);
	type("\026\003lit\n");
	drain("echo of a literal", master);
	drain("literal", slave);
	type("tab\there\177\177\177\177\177\177x\n");
	drain("echo of a tab", master);
	drain("edited", slave);
	type("ctrl\001\n");
	drain("echo of control", master);
	drain("control", slave);
	type("part\004");
	drain("end of file in a line", slave);
	type("\004");
	show("end of file", read(slave, buf, 10));
	drain("echo", master);
	type("cr\rnl\n");
	drain("two lines echoed", master);
	drain("first", slave);
	drain("second", slave);
	type("long line\n");
	show_bytes("short read", buf, read(slave, buf, 4));
	show_bytes("the rest", buf, read(slave, buf, 40));
	drain("echo", master);
	int n;
	type("12345\n");
	show("FIONREAD", ioctl(slave, FIONREAD, &n));
	printf("%d\n", n);
	show("TCFLSH", tcflush(slave, TCIFLUSH));
	drain("flushed", slave);
	drain("echo", master);
	type("reprint\022ed\n");
	drain("echo of reprint", master);
	drain("line", slave);
}

static void output(void)
{
	write(slave, "a\nb\tc\r\n", 7);
	drain("output", master);
	struct termios t = saved;
	t.c_oflag &= ~OPOST;
	tcsetattr(slave, TCSANOW, &t);
	write(slave, "a\nb\n", 4);
	drain("raw output", master);
	t = saved;
	t.c_oflag |= OCRNL | XTABS;
	tcsetattr(slave, TCSANOW, &t);
	write(slave, "a\rb\tc\n", 6);
	drain("other output", master);
	t = saved;
	t.c_lflag &= ~ECHO;
	tcsetattr(slave, TCSANOW, &t);
	type("silent\n");
	drain("no echo", master);
	drain("line", slave);
	t.c_lflag |= ECHONL;
	tcsetattr(slave, TCSANOW, &t);
	type("newline\n");
	drain("only newline", master);
	drain("line", slave);
	tcsetattr(slave, TCSANOW, &saved);
	type("\023");
	struct pollfd p = { .fd = slave, .events = POLLOUT };
	printf("stopped: poll %d\n", poll(&p, 1, 0));
	fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
	show("write while stopped", write(slave, "x", 1));
	type("\021");
	printf("started: poll %d\n", poll(&p, 1, 0));
	show("write", write(slave, "x", 1));
	fcntl(slave, F_SETFL, O_RDWR);
	drain("x", master);
}

static void raw(void)
{
	char buf[100];
	struct termios t = saved;
	cfmakeraw(&t);
	tcsetattr(slave, TCSANOW, &t);
	type("r\003\r\n");
	drain("raw", slave);
	drain("no echo", master);
	t.c_cc[VMIN] = 0;
	t.c_cc[VTIME] = 0;
	tcsetattr(slave, TCSANOW, &t);
	show("nothing there", read(slave, buf, 10));
	t.c_cc[VTIME] = 1;
	tcsetattr(slave, TCSANOW, &t);
	show("nothing for a while", read(slave, buf, 10));
	t.c_cc[VMIN] = 3;
	t.c_cc[VTIME] = 0;
	tcsetattr(slave, TCSANOW, &t);
	type("12");
	struct pollfd p = { .fd = slave, .events = POLLIN };
	printf("two of three: poll %d\n", poll(&p, 1, 0));
	type("3");
	printf("three of three: poll %d\n", poll(&p, 1, 0));
	show("min 3", read(slave, buf, 10));
	fcntl(slave, F_SETFL, O_RDWR | O_NONBLOCK);
	show("nonblocking", read(slave, buf, 10));
	fcntl(slave, F_SETFL, O_RDWR);
	type("canon\nical");
	tcsetattr(slave, TCSANOW, &saved);
	drain("after going back", slave);
	tcflush(slave, TCIFLUSH);
	drain("echo", master);
}

static volatile sig_atomic_t signals[65];
static void count(int sig)
{
	signals[sig]++;
}

static void jobs(void)
{
	char buf[100];
	int pgrp;
	close(master);
	close(slave);
	open_pair();
	setsid();
	show("TIOCSCTTY", ioctl(slave, TIOCSCTTY, 0));
	show("TIOCSCTTY again", ioctl(slave, TIOCSCTTY, 0));
	ioctl(slave, TIOCGPGRP, &pgrp);
	printf("foreground is mine: %d\n", pgrp == getpgrp());
	int tty = open("/dev/tty", O_RDWR);
	show("/dev/tty", tty >= 0 ? 0 : -1);
	struct sigaction action = { .sa_handler = count };
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGQUIT, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGCONT, &action, NULL);
	type("lost\003");
	drain("echo of ^C", master);
	printf("SIGINT %d\n", signals[SIGINT]);
	type("\034");
	printf("SIGQUIT %d\n", signals[SIGQUIT]);
	drain("echo of ^\\", master);
	drain("the line was flushed", slave);
	struct winsize w = { 30, 90, 0, 0 };
	ioctl(master, TIOCSWINSZ, &w);
	printf("SIGWINCH %d\n", signals[SIGWINCH]);
	ioctl(master, TIOCSWINSZ, &w);
	printf("SIGWINCH %d\n", signals[SIGWINCH]);

	/* a background job */
	pid_t child = fork();
	if (child == 0) {
		setpgid(0, 0);
		signal(SIGTTIN, SIG_DFL);
		int n = read(slave, buf, 10);
		show_bytes("child reads", buf, n);
		signal(SIGTTOU, SIG_IGN);
		show("child sets the foreground", tcsetpgrp(slave, getpgrp()));
		_exit(0);
	}
	setpgid(child, child);
	int status;
	waitpid(child, &status, WUNTRACED);
	printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
	show("foreground", tcsetpgrp(slave, child));
	type("input\n");
	kill(-child, SIGCONT);
	waitpid(child, &status, WUNTRACED);
	printf("exited %d\n", WIFEXITED(status));
	signal(SIGTTOU, SIG_IGN);
	show("foreground back", tcsetpgrp(slave, getpgrp()));
	signal(SIGTTOU, SIG_DFL);
	tcflush(master, TCIOFLUSH);
	drain("echo", master);
	child = fork();
	if (child == 0) {
		setpgid(0, 0);
		signal(SIGTTIN, SIG_IGN);
		show("read with SIGTTIN ignored", read(slave, buf, 10));
		show("background write", write(slave, "w", 1));
		struct termios t = saved;
		t.c_lflag |= TOSTOP;
		signal(SIGTTOU, SIG_IGN);
		tcsetattr(slave, TCSANOW, &t);
		show("write with TOSTOP, ignored", write(slave, "w", 1));
		signal(SIGTTOU, SIG_DFL);
		write(slave, "stops", 5);
		_exit(3);
	}
	setpgid(child, child);
	waitpid(child, &status, WUNTRACED);
	printf("stopped %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	tcsetattr(slave, TCSANOW, &saved);
	drain("written", master);
	type("\032");
	puts("a lone session leader is not stopped by ^Z");
	drain("echo of ^Z", master);
	show("TIOCSPGRP of nobody", tcsetpgrp(slave, 30000));
	show("TIOCSPGRP of another session", tcsetpgrp(slave, getppid()));
	close(master);
	printf("SIGHUP %d SIGCONT %d\n", signals[SIGHUP], signals[SIGCONT]);
	show("read after hang-up", read(slave, buf, 10));
	show("write after hang-up", write(slave, buf, 10));
	struct pollfd p = { .fd = slave, .events = POLLIN };
	int n = poll(&p, 1, 0);
	printf("poll %d %x\n", n, p.revents);
	show("ioctl after hang-up", ioctl(slave, TCGETS, &w));
	show("/dev/tty after hang-up", open("/dev/tty", O_RDWR));
}

int main(void)
{
	mkdir("/dev/pts", 0755);
	if (access("/dev/pts/ptmx", F_OK))
		syscall(SYS_mount, "devpts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666");
	open_pair();
	settings();
	editing();
	output();
	raw();
	int first_master = master, first_slave = slave;
	int status = in_child(jobs());
	printf("child %x\n", status);
	master = first_master;
	close(first_slave);
	char buf[10];
	show("read after the slave is closed", read(master, buf, 10));
	struct pollfd p = { .fd = master, .events = POLLIN | POLLOUT };
	int n = poll(&p, 1, 0);
	printf("poll %d %x\n", n, p.revents);
	show("write after the slave is closed", write(master, "x", 1));
	return 0;
}
