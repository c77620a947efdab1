/*
 * sig-kill: SIGKILL comes before all that stops a process, whichever queue it waits in. Many times, since only one that finds both signals waiting counts.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	static const char *const cases[] = { "stopped by its own SIGSTOP", "stopped by the process's SIGSTOP", "continued as well" };
	for (int kind = 0; kind < 3; kind++) {
		int killed = 0;
		for (int i = 0; i < 100; i++) {
			pid_t pid = fork();
			if (pid == 0)
				for (;;)
					getppid();
			if (kind == 1)
				kill(pid, SIGSTOP);
			else
				syscall(SYS_tgkill, pid, pid, SIGSTOP);
			if (kind == 2)
				kill(pid, SIGCONT);
			kill(pid, SIGKILL);
			int status;
			if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
				killed++;
		}
		printf("%s: %d of 100 killed\n", cases[kind], killed);
	}
	return 0;
}
