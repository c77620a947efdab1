/* wait4 and waitid with all their ids and options, statuses, stops, orphans, groups and sessions, usage of children. */
#include "check.h"
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>

static pid_t child_that(void (*run)(void))
{
	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		run();
		_exit(0);
	}
	return pid;
}

static void exit_5(void)
{
	_exit(5);
}
static void sleep_on(void)
{
	for (;;)
		pause();
}
static void abort_now(void)
{
	abort();
}
static void segfault(void)
{
	*(volatile int *)0 = 1;
}

static void show_info(const char *name, long result, const siginfo_t *info, pid_t pid)
{
	if (result < 0)
		show_value(name, result);
	else
		printf("%s: %ld signo %d errno %d code %d pid %d uid %d status %d\n", name, result, info->si_signo, info->si_errno, info->si_code,
		       info->si_pid == pid, info->si_uid, info->si_status);
}

static void wait_id(const char *name, int type, pid_t id, int options, pid_t pid)
{
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	errno = 0;
	long result = waitid(type, id, &info, options);
	show_info(name, result, &info, pid);
}

static void errors(void)
{
	show("no children", wait(NULL));
	show("no such child", waitpid(1, NULL, 0));
	show("bad options", waitpid(-1, NULL, 0x100));
	show("WEXITED to wait4", syscall(SYS_wait4, -1, NULL, WEXITED, NULL));
	show("INT_MIN", waitpid(-2147483647 - 1, NULL, 0));
	show("no such group", waitpid(-30000, NULL, 0));
	siginfo_t info;
	show("waitid without kind", waitid(P_ALL, 0, &info, WNOHANG));
	show("waitid bad options", waitid(P_ALL, 0, &info, WEXITED | 0x100));
	show("waitid bad type", waitid(9, 1, &info, WEXITED));
	show("waitid P_PID 0", waitid(P_PID, 0, &info, WEXITED));
	show("waitid P_PID -1", waitid(P_PID, -1, &info, WEXITED));
	show("waitid P_PGID -1", waitid(P_PGID, -1, &info, WEXITED));
	show("waitid P_PGID 0", waitid(P_PGID, 0, &info, WEXITED));
	show("waitid P_PIDFD -1", waitid(3, -1, &info, WEXITED));
	show("waitid P_PIDFD 99", waitid(3, 99, &info, WEXITED));
	show("waitid P_PIDFD 0", waitid(3, 0, &info, WEXITED));
	show("waitid none", waitid(P_ALL, 0, &info, WEXITED));
	pid_t pid = child_that(exit_5);
	show("status to nowhere", syscall(SYS_wait4, pid, 16, 0, NULL));
	show("then it is gone", waitpid(pid, NULL, 0));
	pid = child_that(exit_5);
	show("info to nowhere", syscall(SYS_waitid, P_PID, pid, 16, WEXITED, NULL));
	show("then it is gone", waitpid(pid, NULL, 0));
	pid = child_that(exit_5);
	show("info NULL", syscall(SYS_waitid, P_PID, pid, NULL, WEXITED, NULL));
}

static void statuses(void)
{
	int status = -1;
	pid_t pid = child_that(exit_5);
	waitpid(pid, &status, 0);
	printf("exit: %x\n", status);
	pid = child_that(sleep_on);
	show("WNOHANG", waitpid(pid, &status, WNOHANG));
	wait_id("waitid WNOHANG", P_PID, pid, WEXITED | WNOHANG, pid);
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	printf("SIGTERM: %x\n", status);
	pid = child_that(sleep_on);
	kill(pid, SIGKILL);
	wait_id("WNOWAIT", P_ALL, 0, WEXITED | WNOWAIT, pid);
	wait_id("again", P_PGID, getpgrp(), WEXITED | WNOWAIT, pid);
	wait_id("and finally", P_PID, pid, WEXITED, pid);
	wait_id("no more", P_PID, pid, WEXITED, pid);
	struct rlimit none = { 0, 0 };
	setrlimit(RLIMIT_CORE, &none);
	pid = child_that(abort_now);
	waitpid(pid, &status, 0);
	printf("abort: %x\n", status);
	pid = child_that(segfault);
	waitpid(pid, &status, 0);
	printf("SIGSEGV: %x\n", status);
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		syscall(SYS_exit, 0x12345);
	waitpid(pid, &status, 0);
	printf("exit 0x12345: %x\n", status);
}

static volatile int chlds, chld_code, chld_status;
static void on_chld(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)context;
	chlds++;
	chld_code = info->si_code;
	chld_status = info->si_status;
}

static void wait_for_chld(int count)
{
	for (int i = 0; i < 5000 && chlds < count; i++)
		usleep(1000);
}

static void stops(void)
{
	struct sigaction action = { .sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigaction(SIGCHLD, &action, NULL);
	int status = 0;
	pid_t pid = child_that(sleep_on);
	kill(pid, SIGSTOP);
	wait_for_chld(1);
	printf("SIGCHLD code %d status %d\n", chld_code, chld_status);
	show("without WUNTRACED", waitpid(pid, &status, WNOHANG));
	wait_id("WSTOPPED WNOWAIT", P_PID, pid, WSTOPPED | WNOWAIT, pid);
	show("WUNTRACED", waitpid(pid, &status, WUNTRACED) == pid);
	printf("status %x\n", status);
	show("once", waitpid(pid, &status, WUNTRACED | WNOHANG));
	kill(pid, SIGCONT);
	wait_for_chld(2);
	printf("SIGCHLD code %d status %d\n", chld_code, chld_status);
	wait_id("WCONTINUED WNOWAIT", P_PID, pid, WCONTINUED | WNOWAIT, pid);
	show("WCONTINUED", waitpid(pid, &status, WCONTINUED) == pid);
	printf("status %x\n", status);
	show("once", waitpid(pid, &status, WCONTINUED | WNOHANG));
	setpgid(pid, 0); /* else its group may be orphaned, and SIGTSTP is dropped */
	kill(pid, SIGTSTP);
	show("SIGTSTP", waitpid(pid, &status, WUNTRACED) == pid);
	printf("status %x\n", status);
	kill(pid, SIGTERM);
	show("SIGTERM while stopped", waitpid(pid, &status, WNOHANG));
	kill(pid, SIGCONT);
	show("then SIGCONT", waitpid(pid, &status, 0) == pid);
	printf("status %x\n", status);
	pid = child_that(sleep_on);
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	kill(pid, SIGKILL);
	show("SIGKILL while stopped", waitpid(pid, &status, 0) == pid);
	printf("status %x\n", status);

	action.sa_flags |= SA_NOCLDSTOP;
	sigaction(SIGCHLD, &action, NULL);
	chlds = 0;
	pid = child_that(sleep_on);
	kill(pid, SIGSTOP);
	waitpid(pid, &status, WUNTRACED);
	kill(pid, SIGCONT);
	waitpid(pid, &status, WCONTINUED);
	printf("SA_NOCLDSTOP: %d\n", chlds);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	wait_for_chld(1);
	printf("SIGCHLD code %d status %d\n", chld_code, chld_status);
	signal(SIGCHLD, SIG_DFL);
}

static void unwanted(void)
{
	signal(SIGCHLD, SIG_IGN);
	pid_t pid = child_that(exit_5);
	show("ignored SIGCHLD: wait", waitpid(pid, NULL, 0));
	struct sigaction action = { .sa_sigaction = on_chld, .sa_flags = SA_SIGINFO | SA_NOCLDWAIT };
	sigaction(SIGCHLD, &action, NULL);
	chlds = 0;
	pid = child_that(exit_5);
	long result;
	do
		result = waitpid(pid, NULL, 0);
	while (result < 0 && errno == EINTR);
	show("SA_NOCLDWAIT: wait", result);
	wait_for_chld(1);
	printf("SIGCHLD %d\n", chlds);
	signal(SIGCHLD, SIG_DFL);
}

static void interrupted(void)
{
	struct sigaction action = { .sa_sigaction = on_chld, .sa_flags = SA_SIGINFO };
	sigaction(SIGALRM, &action, NULL);
	pid_t pid = child_that(sleep_on);
	setitimer(ITIMER_REAL, &(struct itimerval){ .it_value = { 0, 20000 } }, NULL);
	show("interrupted", waitpid(pid, NULL, 0));
	kill(pid, SIGKILL);
	ended(pid);
	signal(SIGALRM, SIG_DFL);
}

static void grandchild(void)
{
	int to[2];
	pipe(to);
	pid_t me = getpid();
	if (fork() == 0) {
		close(to[1]);
		char c;
		read(to[0], &c, 1); /* until the parent is gone */
		usleep(20000);
		_exit(getppid() != me ? 33 : 34);
	}
}

static volatile char death;
static void on_death(int sig)
{
	death = sig;
}

static void orphans(void)
{
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t pid = child_that(grandchild);
	int status;
	show("the middle one", waitpid(pid, &status, 0) == pid);
	show("the orphan comes to us", wait(&status) > 0);
	printf("its exit %d\n", WEXITSTATUS(status));
	prctl(PR_SET_CHILD_SUBREAPER, 0);

	fflush(stdout);
	int result[2], c = 0;
	pipe(result);
	pid = fork();
	if (pid == 0) {
		if (fork() == 0) {
			signal(SIGUSR1, on_death);
			prctl(PR_SET_PDEATHSIG, SIGUSR1);
			for (int i = 0; i < 3000 && !death; i++)
				usleep(1000);
			write(result[1], (char *)&death, 1);
			_exit(0);
		}
		usleep(50000);
		_exit(0);
	}
	ended(pid);
	read(result[0], &c, 1);
	printf("parent's death signal %d\n", c);

	/* A stopped group that becomes an orphan is hung up and continued. */
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		pid_t stopped = fork();
		if (stopped == 0) {
			setpgid(0, 0);
			signal(SIGHUP, on_death);
			kill(getpid(), SIGSTOP);
			for (int i = 0; i < 3000 && !death; i++)
				usleep(1000);
			write(result[1], (char *)&death, 1);
			_exit(0);
		}
		waitpid(stopped, NULL, WUNTRACED);
		_exit(0);
	}
	ended(pid);
	c = 0;
	read(result[0], &c, 1);
	printf("an orphaned stopped group gets %d\n", c);
}

static void groups(void)
{
	in_child({
		show("setsid", setsid() == getpid());
		show("getsid", getsid(0) == getpid());
		show("setsid again", setsid());
		show("setpgid of a session leader", setpgid(0, 0));
		show("getpgid of nobody", getpgid(31999));
		show("getsid of nobody", getsid(31999));
		pid_t pid = child_that(sleep_on);
		show("setpgid of a child", setpgid(pid, 0));
		show("its group", getpgid(pid) == pid);
		show("its session", getsid(pid) == getpid());
		show("negative group", setpgid(pid, -3));
		show("group of nobody", setpgid(pid, 31999));
		show("wait for the group", waitpid(-pid, NULL, WNOHANG));
		show("wait for our group", waitpid(0, NULL, WNOHANG));
		show("back", setpgid(pid, getpid()));
		show("wait for our group", waitpid(0, NULL, WNOHANG));
		show("setpgid of our parent", setpgid(getppid(), 0));
		show("kill the group", kill(0, 0));
		show("kill no group", kill(-31999, 0));
		kill(pid, SIGKILL);
		ended(pid);
		show("setpgid of a dead child", setpgid(pid, 0));
		fflush(stdout);
		pid = fork();
		if (pid == 0) {
			char *argv[] = { "sleep", "100", NULL };
			execv("/proc/self/exe", argv);
			_exit(1);
		}
		usleep(200000);
		show("setpgid after its exec", setpgid(pid, pid));
		kill(pid, SIGKILL);
		ended(pid);
		pid = child_that(sleep_on);
		kill(pid, SIGSTOP);
		waitpid(pid, NULL, WUNTRACED);
		kill(pid, SIGKILL);
		siginfo_t info;
		waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
		show("setpgid of a zombie", setpgid(pid, pid));
		show("kill of a zombie", kill(pid, SIGTERM));
		ended(pid);
		show("kill when it is gone", kill(pid, SIGTERM));
	});
}

static void touch(void)
{
	char *memory = mmap(NULL, 400 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	char *more = mmap(NULL, 300 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(more, 300 * PAGE, MADV_NOHUGEPAGE);
	for (int i = 0; i < 300; i++)
		more[i * PAGE] = 1;
	(void)memory;
}

static void usage(void)
{
	struct rusage before, after, one;
	getrusage(RUSAGE_CHILDREN, &before);
	pid_t pid = child_that(touch);
	int status;
	show("wait4", wait4(pid, &status, 0, &one) == pid);
	getrusage(RUSAGE_CHILDREN, &after);
	long faults = one.ru_minflt;
	printf("minor faults counted %d, maxrss counted %d\n", faults >= 300 && faults < 900, one.ru_maxrss >= 700 * 4);
	printf("children's sum grows by as much %d\n", after.ru_minflt - before.ru_minflt == faults);
	show("getrusage bad", getrusage(7, &after));
	show("getrusage nowhere", syscall(SYS_getrusage, RUSAGE_SELF, 16));
	getrusage(RUSAGE_SELF, &before);
	char *more = mmap(NULL, 50 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	madvise(more, 50 * PAGE, MADV_NOHUGEPAGE);
	int fd = open("/dev/zero", O_RDONLY);
	read(fd, more, 50 * PAGE); /* the kernel's touches count too */
	getrusage(RUSAGE_SELF, &after);
	printf("own faults %d\n", after.ru_minflt - before.ru_minflt >= 50 && after.ru_minflt - before.ru_minflt < 60);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[0], "sleep"))
		sleep_on();
	errors();
	statuses();
	stops();
	unwanted();
	interrupted();
	orphans();
	groups();
	usage();
	return 0;
}
