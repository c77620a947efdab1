/* An interactive shell on a pseudo-terminal: types at busybox's sh, with ^C, ^Z, ^D, jobs, fg, bg and stty, and prints the conversation. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int master;
static char seen[65536];
static size_t length, told;

/* Reads until `text` has come since the last call, or 5 seconds have passed. */
static void wait_for(const char *text)
{
	struct pollfd p = { .fd = master, .events = POLLIN };
	for (;;) {
		char *at = strstr(seen + told, text);
		if (at) {
			told = at - seen + strlen(text);
			return;
		}
		if (poll(&p, 1, 5000) <= 0) {
			printf("[%s did not come]\n", text);
			return;
		}
		ssize_t n = read(master, seen + length, sizeof(seen) - 1 - length);
		if (n <= 0)
			return;
		length += n;
		seen[length] = 0;
	}
}

static void type(const char *text, const char *then)
{
	usleep(20000);
	write(master, text, strlen(text));
	wait_for(then);
}

int main(void)
{
	mkdir("/dev/pts", 0755);
	if (access("/dev/pts/ptmx", F_OK))
		mount("devpts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666");
	int lock = 0, n = 0;
	char name[40];
	master = open("/dev/ptmx", O_RDWR | O_NOCTTY);
	ioctl(master, TIOCSPTLCK, &lock);
	ioctl(master, TIOCGPTN, &n);
	snprintf(name, sizeof(name), "/dev/pts/%d", n);
	pid_t child = fork();
	if (child == 0) {
		setsid();
		int tty = open(name, O_RDWR);
		for (int i = 0; i < 3; i++)
			dup2(tty, i);
		close(tty);
		close(master);
		setenv("PS1", "PROMPT> ", 1);
		setenv("TERM", "dumb", 1);
		execl("/bin/busybox", "sh", "-i", NULL);
		_exit(127);
	}
	wait_for("PROMPT> ");
	type("echo hello; tty | sed 's/[0-9]*$/N/'\r", "PROMPT> ");
	type("stty rows 33 cols 77; stty size\r", "PROMPT> ");
	type("stty -a | grep -o 'intr = [^;]*;\\|-\\?icanon\\|-\\?echo \\|rows [0-9]*'\r", "PROMPT> ");
	type("abandoned line\003", "PROMPT> ");
	type("sleep 100\r", "\n");
	usleep(100000);
	type("\003", "PROMPT> ");
	type("echo status $?\r", "PROMPT> ");
	type("sleep 100\r", "\n");
	usleep(100000);
	type("\032", "PROMPT> ");
	type("jobs\r", "PROMPT> ");
	type("bg\r", "PROMPT> ");
	type("jobs\r", "PROMPT> ");
	type("fg\r", "\n");
	usleep(100000);
	type("\003", "PROMPT> ");
	type("sleep 200 | cat &\r", "PROMPT> ");
	type("jobs\r", "PROMPT> ");
	type("kill %1\r", "PROMPT> ");
	usleep(100000);
	type("\r", "PROMPT> ");
	type("cat &\r", "PROMPT> ");
	usleep(100000);
	type("\r", "PROMPT> ");
	type("fg\r", "cat\r\n");
	type("typed to cat\r", "typed to cat\r\ntyped to cat");
	type("\004", "PROMPT> ");
	type("stty tostop; (echo from the background) & sleep 0.2\r", "PROMPT> ");
	usleep(100000);
	type("\r", "PROMPT> ");
	type("stty -tostop; fg\r", "PROMPT> ");
	type("read line; echo \"[$line]\"\r", "\n");
	type("edit\177\177it\r", "PROMPT> ");
	type("sh -c 'trap \"echo caught; exit 4\" INT; sleep 100; echo slept'\r", "\n");
	usleep(100000);
	type("\003", "PROMPT> ");
	type("echo status $?\r", "PROMPT> ");
	type("sleep 0.3; sleep 0.1 && echo both\r", "PROMPT> ");
	type("exit 3\r", "exit 3\r\n");
	int status;
	waitpid(child, &status, 0);
	char *from = seen;
	for (char *at = seen; *at; at++)
		if (*at != '\r')
			*from++ = *at;
	*from = 0;
	/* numbers of processes differ */
	for (char *at = seen; *at; at++)
		putchar(*at == '\033' ? '?' : *at);
	printf("exit status %d\n", WEXITSTATUS(status));
	return 0;
}
