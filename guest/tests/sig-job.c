// Job control and children: stop and continue, SIGCHLD with its codes, wait's options, orphaned process groups.
#include "check.h"

static volatile int chld_code, chld_status, chlds, conts;
static volatile pid_t chld_pid;
static void on_chld(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	chlds++;
	chld_code = info->si_code;
	chld_status = info->si_status;
	chld_pid = info->si_pid;
}
static void on_cont(int sig) { (void)sig; conts++; }

static void chld_flags(int flags)
{
	struct sigaction action = { .sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART | flags };
	sigaction(SIGCHLD, &action, NULL);
}
static void said(const char *what, pid_t child)
{
	for (int i = 0; i < 200 && !chlds; i++)
		usleep(1000);
	printf("%s: SIGCHLD %d code %d status %d pid %d\n", what, chlds, chld_code, chld_status, chld_pid == child);
	chlds = 0;
}

static void child_states(void)
{
	int status;
	siginfo_t info;
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	show("nothing yet", waitpid(child, &status, WNOHANG | WUNTRACED | WCONTINUED));
	kill(child, SIGSTOP);
	said("stop", child);
	memset(&info, 0, sizeof(info));
	show("waitid NOWAIT", waitid(P_PID, child, &info, WSTOPPED | WNOWAIT));
	printf("info signo %d code %d status %d pid %d\n", info.si_signo, info.si_code, info.si_status, info.si_pid == child);
	show("waitid WEXITED only", waitid(P_PID, child, &info, WEXITED | WNOHANG));
	printf("waitpid %d status %x\n", waitpid(child, &status, WUNTRACED) == child, status);
	show("once", waitpid(child, &status, WUNTRACED | WNOHANG));
	kill(child, SIGSTOP);
	usleep(10000);
	printf("stopping the stopped: %d\n", chlds);
	kill(child, SIGCONT);
	said("continue", child);
	printf("waitpid %d status %x\n", waitpid(child, &status, WCONTINUED) == child, status);
	show("once", waitpid(child, &status, WCONTINUED | WNOHANG));
	kill(child, SIGSTOP);
	said("stop", child);
	kill(child, SIGTERM);
	usleep(10000);
	show("a stopped one does not die of TERM", waitpid(child, &status, WNOHANG));
	kill(child, SIGKILL);
	said("kill", child);
	printf("waitpid %d status %x\n", waitpid(child, &status, 0) == child, status);
	child = fork();
	if (child == 0)
		_exit(7);
	said("exit", child);
	memset(&info, 0, sizeof(info));
	show("waitid", waitid(P_ALL, 0, &info, WEXITED));
	printf("info code %d status %d\n", info.si_code, info.si_status);
	show("none left", waitpid(-1, &status, 0));
	show("waitid none", waitid(P_ALL, 0, &info, WEXITED));
	show("waitid options", waitid(P_ALL, 0, &info, 0));
	show("waitpid options", waitpid(-1, &status, 0x10));
	child = fork();
	if (child == 0)
		abort();
	said("abort", child);
	waitpid(child, &status, 0);
	printf("abort %x\n", status & 0x7f);
}

static void options(void)
{
	int status;
	chld_flags(SA_NOCLDSTOP);
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	kill(child, SIGSTOP);
	waitpid(child, &status, WUNTRACED);
	printf("NOCLDSTOP: %d\n", chlds);
	kill(child, SIGKILL);
	waitpid(child, &status, 0);
	printf("killed: %d\n", chlds);
	chlds = 0;
	chld_flags(SA_NOCLDWAIT);
	child = fork();
	if (child == 0)
		_exit(1);
	show("NOCLDWAIT", waitpid(child, &status, 0));
	printf("signal %d\n", chlds);
	signal(SIGCHLD, SIG_IGN);
	child = fork();
	if (child == 0)
		_exit(1);
	show("ignored", waitpid(child, &status, 0));
	signal(SIGCHLD, SIG_DFL);
}

/* Tells the parent through a pipe what became of it. */
static void orphans(void)
{
	int fds[2], status;
	char text[64];
	(void)!pipe(fds);
	pid_t child = fork();
	if (child == 0) {
		setpgid(0, 0);
		pid_t grandchild = fork();
		if (grandchild == 0) {
			// SIGTSTP in a group that is not orphaned stops; when it becomes orphaned: SIGHUP and SIGCONT.
			struct sigaction action = { .sa_handler = on_cont };
			sigaction(SIGHUP, &action, NULL);
			sigaction(SIGCONT, &action, NULL);
			setpgid(0, 0);
			(void)!write(fds[1], "r", 1);
			raise(SIGTSTP);
			dprintf(fds[1], "went on after %d signals", conts);
			// Orphaned now: stop signals of terminals are ignored.
			raise(SIGTSTP);
			dprintf(fds[1], ", not stopped");
			_exit(0);
		}
		(void)!read(fds[0], text, 1);
		waitpid(grandchild, &status, WUNTRACED);
		_exit(WIFSTOPPED(status) ? WSTOPSIG(status) : 99);
	}
	close(fds[1]);
	waitpid(child, &status, 0);
	printf("child %x\n", status);
	size_t n = 0;
	for (ssize_t got; (got = read(fds[0], text + n, sizeof(text) - 1 - n)) > 0;)
		n += got;
	text[n] = 0;
	printf("grandchild %s\n", text);
}

static void stop_and_continue(void)
{
	// A continue signal drops pending stop signals, and the other way round.
	sigset_t both, pending;
	sigemptyset(&both);
	sigaddset(&both, SIGTSTP);
	sigaddset(&both, SIGCONT);
	struct sigaction action = { .sa_handler = on_cont };
	sigaction(SIGCONT, &action, NULL);
	sigprocmask(SIG_BLOCK, &both, NULL);
	raise(SIGTSTP);
	sigpending(&pending);
	printf("tstp %d cont %d\n", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
	raise(SIGCONT);
	sigpending(&pending);
	printf("tstp %d cont %d\n", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
	raise(SIGTSTP);
	sigpending(&pending);
	printf("tstp %d cont %d\n", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
	raise(SIGCONT);
	conts = 0;
	sigprocmask(SIG_UNBLOCK, &both, NULL);
	printf("handled %d\n", conts);
}

int main(void)
{
	setsid();
	chld_flags(0);
	child_states();
	options();
	orphans();
	stop_and_continue();
}
