/* ptrace-stops.c: group stops seen by tracers (PTRACE_SEIZE, LISTEN, INTERRUPT), threads, SIGCHLD and waitid for tracers. */
#include "tracer.h"
#include <poll.h>
#include <pthread.h>

static volatile siginfo_t child_info;
static volatile int child_signals;

static void on_child(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	child_info = *info;
	child_signals++;
}

static void show_child(const char *name)
{
	printf("%s: %d, code %d status %#x\n", name, child_signals, child_info.si_code, child_info.si_status);
	child_signals = 0;
}

/* What waitid says; options besides WEXITED as given. */
static void id(const char *name, pid_t pid, int options)
{
	siginfo_t info;
	memset(&info, 0, sizeof(info));
	usleep(20000); /* Linux tells what the stop is after it has stopped; who waits in between sees 0 there. */
	if (waitid(P_PID, (id_t)pid, &info, options))
		printf("%s: %s\n", name, error_name(errno));
	else if (info.si_pid == 0)
		printf("%s: nothing\n", name);
	else
		printf("%s: code %d status %#x\n", name, info.si_code, info.si_status);
}

static pid_t sleeper(void)
{
	fflush(stdout);
	pid_t child = fork();
	if (child == 0)
		for (;;)
			pause();
	until_asleep(child);
	return child;
}

static void finish(pid_t child)
{
	kill(child, SIGKILL);
	next("the end", child);
}

static void waiting(void)
{
	struct sigaction action = { .sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART };
	sigaction(SIGCHLD, &action, NULL);
	pid_t child = sleeper();
	request(PTRACE_ATTACH, child, 0, 0);
	id("WNOWAIT", child, WEXITED | WNOWAIT);
	id("WSTOPPED", child, WSTOPPED | WNOHANG);
	id("again", child, WSTOPPED | WNOHANG);
	show_child("SIGCHLD");
	continue_with(child, 0);
	kill(child, SIGTERM);
	id("without WSTOPPED", child, WEXITED);
	show_child("SIGCHLD");
	continue_with(child, 0);
	kill(child, SIGCONT);
	usleep(20000);
	next("SIGCONT", child);
	show_child("SIGCHLD");
	continue_with(child, SIGCONT);
	kill(child, SIGTERM);
	next("SIGTERM", child);
	continue_with(child, SIGTERM);
	id("only WSTOPPED", child, WSTOPPED);
	id("WNOWAIT", child, WEXITED | WNOWAIT);
	id("WEXITED", child, WEXITED);
	show_child("SIGCHLD");
	action.sa_flags |= SA_NOCLDSTOP;
	sigaction(SIGCHLD, &action, NULL);
	child = sleeper();
	request(PTRACE_ATTACH, child, 0, 0);
	next("attached", child);
	show_child("SIGCHLD with SA_NOCLDSTOP");
	finish(child);
	/* Ignoring SIGCHLD does not reap tracees. */
	signal(SIGCHLD, SIG_IGN);
	child = traced_child(_exit(5));
	continue_with(child, 0);
	next("with SIGCHLD ignored", child);
	signal(SIGCHLD, SIG_DFL);
}

static void attached_group_stop(void)
{
	/* Without PTRACE_SEIZE: group stops are reported without siginfo, and continuing ends them for the tracee. */
	pid_t child = sleeper();
	request(PTRACE_ATTACH, child, 0, 0);
	next("attached", child);
	show_siginfo("it", child, child);
	continue_with(child, SIGSTOP);
	next("given SIGSTOP", child);
	show_siginfo("it", child, child);
	show_status("then", child, "State:");
	continue_with(child, SIGTERM);
	until_asleep(child);
	show_status("continued", child, "State:");
	kill(child, SIGSTOP);
	next("SIGSTOP", child);
	continue_with(child, SIGSTOP);
	next("given SIGSTOP", child);
	kill(child, SIGCONT);
	show_status("after SIGCONT", child, "State:");
	show("nothing new", waitpid(child, NULL, WNOHANG));
	continue_with(child, 0);
	next("SIGCONT", child);
	continue_with(child, SIGCONT);
	kill(child, SIGSTOP);
	next("SIGSTOP", child);
	continue_with(child, SIGSTOP);
	next("given SIGSTOP", child);
	show("detach", request(PTRACE_DETACH, child, 0, 0));
	usleep(20000);
	show_status("stopped still", child, "State:");
	id("the parent sees", child, WSTOPPED | WNOHANG);
	show("attach to the stopped one", request(PTRACE_ATTACH, child, 0, 0));
	next("it", child);
	show_siginfo("its siginfo", child, child);
	continue_with(child, 0);
	next("then", child);
	show_siginfo("its siginfo", child, child);
	show("detach", request(PTRACE_DETACH, child, 0, 0));
	usleep(10000);
	show_status("stopped again", child, "State:");
	kill(child, SIGCONT);
	usleep(10000);
	show_status("running", child, "State:");
	finish(child);
}

static void seized_group_stop(void)
{
	pid_t child = sleeper();
	show("seize", request(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD));
	show("no stop", waitpid(child, NULL, WNOHANG));
	show_status("it", child, "State:");
	show("LISTEN while it runs", request(PTRACE_LISTEN, child, 0, 0));
	show("INTERRUPT", request(PTRACE_INTERRUPT, child, 0, 0));
	next("it", child);
	show_siginfo("its siginfo", child, child);
	show("INTERRUPT once more", request(PTRACE_INTERRUPT, child, 0, 0));
	continue_with(child, 0);
	next("it", child);
	continue_with(child, 0);
	kill(child, SIGSTOP);
	next("SIGSTOP", child);
	show_siginfo("its siginfo", child, child);
	show("LISTEN in a signal's stop", request(PTRACE_LISTEN, child, 0, 0));
	continue_with(child, SIGSTOP);
	next("the group stop", child);
	show_siginfo("its siginfo", child, child);
	show("LISTEN", request(PTRACE_LISTEN, child, 0, 0));
	show("a request while listening", continue_with(child, 0));
	show_status("listening", child, "State:");
	show("nothing new", waitpid(child, NULL, WNOHANG));
	kill(child, SIGCONT);
	next("SIGCONT ends it", child);
	show_siginfo("its siginfo", child, child);
	continue_with(child, 0);
	next("SIGCONT itself", child);
	continue_with(child, SIGCONT);
	kill(child, SIGSTOP);
	next("SIGSTOP", child);
	continue_with(child, SIGSTOP);
	next("the group stop", child);
	request(PTRACE_LISTEN, child, 0, 0);
	show("INTERRUPT of one that listens", request(PTRACE_INTERRUPT, child, 0, 0));
	next("it", child);
	show_siginfo("its siginfo", child, child);
	request(PTRACE_LISTEN, child, 0, 0);
	kill(child, SIGTERM);
	show("a signal does not end it", waitpid(child, NULL, WNOHANG));
	kill(child, SIGCONT);
	next("SIGCONT", child);
	continue_with(child, 0);
	next("first", child);
	continue_with(child, 0);
	next("second", child);
	show("detach", request(PTRACE_DETACH, child, 0, 0));
	finish(child);
	/* Seizing one that is stopped. */
	child = sleeper();
	kill(child, SIGSTOP);
	id("stopped", child, WSTOPPED);
	request(PTRACE_SEIZE, child, 0, 0);
	next("seized", child);
	show_siginfo("its siginfo", child, child);
	continue_with(child, 0);
	until_asleep(child);
	show_status("it runs", child, "State:");
	request(PTRACE_INTERRUPT, child, 0, 0);
	next("interrupted", child);
	show_siginfo("its siginfo", child, child);
	show("detach", request(PTRACE_DETACH, child, 0, 0));
	usleep(20000);
	show_status("stopped", child, "State:");
	kill(child, SIGCONT);
	id("continued", child, WCONTINUED);
	finish(child);
}

/* Threads */

static volatile int thread_tid;
static int wake[2];

static void *thread(void *arg)
{
	char c;
	thread_tid = (int)syscall(SYS_gettid);
	__sync_synchronize();
	if (read(wake[0], &c, 1) != 1)
		return NULL;
	if (c == 'x') {
		char *const args[] = { "ptrace-stops", "exec", NULL };
		execv("/proc/self/exe", args);
	}
	return arg;
}

static void threads(void)
{
	int status;
	char c = 'e';
	if (pipe(wake))
		return;
	pid_t child = traced_child({
		pthread_t t;
		pthread_create(&t, NULL, thread, NULL);
		pthread_join(t, NULL);
		if (read(wake[0], &c, 1) == 1)
			_exit(9);
	});
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT);
	continue_with(child, 0);
	next("clone", child);
	pid_t other = (pid_t)event_message(child);
	next("the thread", other);
	show_siginfo("it", other, other);
	show_status("its Tgid is the tracee's", other, other == child ? "Tgid" : "?");
	show("waiting for it without __WALL", waitpid(other, NULL, WNOHANG));
	show("waiting for clones only", waitpid(other, NULL, WNOHANG | __WCLONE));
	continue_with(other, 0);
	continue_with(child, 0);
	until_asleep(other);
	syscall(SYS_tgkill, child, other, SIGUSR1);
	next("a signal for the thread", other);
	show_siginfo("it", other, other);
	continue_with(other, 0);
	until_asleep(other);
	/* A group stop stops both. */
	kill(child, SIGSTOP);
	pid_t first = waitpid(-1, &status, __WALL);
	printf("first: %s %s\n", first == child ? "the leader" : "the thread", status_text(status));
	continue_with(first, SIGSTOP);
	int stops = 0;
	for (int i = 0; i < 2; i++) {
		pid_t who = waitpid(-1, &status, __WALL);
		stops |= who == child ? 1 : who == other ? 2 : 4;
		printf("then: %s\n", status_text(status));
	}
	printf("both: %d\n", stops);
	continue_with(child, 0);
	continue_with(other, 0);
	until_asleep(other);
	if (write(wake[1], &c, 1) != 1)
		return;
	next("the thread's exit", other);
	printf("status %lx\n", event_message(other));
	continue_with(other, 0);
	next("its end", other);
	show("once more", waitpid(other, NULL, WNOHANG | __WALL));
	if (write(wake[1], &c, 1) != 1)
		return;
	next("the leader's exit", child);
	printf("status %lx\n", event_message(child));
	continue_with(child, 0);
	next("its end", child);

	/* Not waited for: the thread stays a zombie, and the process is not one before. */
	child = traced_child({
		pthread_t t;
		pthread_create(&t, NULL, thread, NULL);
		if (read(wake[0], &c, 1) == 1)
			_exit(10);
	});
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACECLONE);
	continue_with(child, 0);
	next("clone", child);
	other = (pid_t)event_message(child);
	next("the thread", other);
	continue_with(other, 0);
	continue_with(child, 0);
	until_asleep(other);
	until_asleep(child);
	if (write(wake[1], &c, 1) != 1 || write(wake[1], &c, 1) != 1)
		return;
	usleep(50000);
	show_status("the leader", child, "State:");
	show_status("the thread", other, "State:");
	show("the leader first", waitpid(child, NULL, WNOHANG));
	next("the thread", other);
	next("the leader", child);

	/* A thread that is not the leader calls exec. */
	child = traced_child({
		pthread_t t;
		pthread_create(&t, NULL, thread, NULL);
		for (;;)
			pause();
	});
	request(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC);
	continue_with(child, 0);
	next("clone", child);
	other = (pid_t)event_message(child);
	next("the thread", other);
	continue_with(other, 0);
	continue_with(child, 0);
	until_asleep(other);
	c = 'x';
	if (write(wake[1], &c, 1) != 1)
		return;
	next("exec", child);
	printf("was called %s\n", event_message(child) == (unsigned long)other ? "otherwise" : "the same");
	show("the old name", continue_with(other, 0));
	show("the new name", continue_with(child, 0));
	next("the end", child);
	show("nobody is left", waitpid(-1, NULL, WNOHANG | __WALL));
	close(wake[0]);
	close(wake[1]);
}

static pid_t of_thread;

static void *other_thread(void *arg)
{
	(void)arg;
	show("a request of another thread", continue_with(of_thread, 0));
	next("it can wait", of_thread);
	show("but not with __WNOTHREAD", waitpid(of_thread, NULL, WNOHANG | __WNOTHREAD));
	return NULL;
}

static void *tracing_thread(void *arg)
{
	(void)arg;
	show("seize", request(PTRACE_SEIZE, of_thread, 0, 0));
	show("interrupt", request(PTRACE_INTERRUPT, of_thread, 0, 0));
	next("it", of_thread);
	return NULL;
}

static void tracer_threads(void)
{
	pthread_t t;
	of_thread = sleeper();
	request(PTRACE_ATTACH, of_thread, 0, 0);
	pthread_create(&t, NULL, other_thread, NULL);
	pthread_join(t, NULL);
	show("detach", request(PTRACE_DETACH, of_thread, 0, 0));
	/* The tracer is a thread: its end is the end of tracing. */
	pthread_create(&t, NULL, tracing_thread, NULL);
	pthread_join(t, NULL);
	usleep(20000);
	show_status("after the tracer's end", of_thread, "State:");
	show_status("after the tracer's end", of_thread, "TracerPid:");
	finish(of_thread);
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		printf("%s by a thread\n", argv[1]);
		return 6;
	}
	waiting();
	attached_group_stop();
	seized_group_stop();
	threads();
	tracer_threads();
	return 0;
}
