/* tracer.h: what the programs about ptrace share: showing what wait says of a tracee, its registers, short forms of the requests. */
#ifndef TRACER_H
#define TRACER_H

#include "check.h"
#include <elf.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* pc, then x1 to x31: NT_PRSTATUS. */
struct registers {
	unsigned long pc, x[31];
};
#define A0 x[9]
#define A1 x[10]
#define A7 x[16]
#define SP x[1]

static unused long request(int what, pid_t pid, unsigned long addr, unsigned long data)
{
	errno = 0;
	return syscall(SYS_ptrace, (long)what, (long)pid, addr, data);
}

static unused struct registers registers_of(pid_t pid)
{
	struct registers regs = { 0 };
	struct iovec iov = { &regs, sizeof(regs) };
	if (request(PTRACE_GETREGSET, pid, NT_PRSTATUS, (unsigned long)&iov))
		printf("GETREGSET: %s\n", error_name(errno));
	return regs;
}

static unused void set_registers(pid_t pid, struct registers *regs)
{
	struct iovec iov = { regs, sizeof(*regs) };
	if (request(PTRACE_SETREGSET, pid, NT_PRSTATUS, (unsigned long)&iov))
		printf("SETREGSET: %s\n", error_name(errno));
}

static unused const char *status_text(int status)
{
	static char text[80];
	if (WIFEXITED(status))
		snprintf(text, sizeof(text), "exited %d", WEXITSTATUS(status));
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text), "killed by %s%s", sigabbrev_np(WTERMSIG(status)), WCOREDUMP(status) ? " (core)" : "");
	else if (WIFCONTINUED(status))
		snprintf(text, sizeof(text), "continued");
	else if (WIFSTOPPED(status)) {
		int signal = WSTOPSIG(status) & 0x7f, event = status >> 16;
		snprintf(text, sizeof(text), "stopped by %s%s%s%.0d", sigabbrev_np(signal) ? sigabbrev_np(signal) : "?", WSTOPSIG(status) & 0x80 ? "|0x80" : "", event ? " event " : "", event);
	} else
		snprintf(text, sizeof(text), "status %x", status);
	return text;
}

/* Waits for the tracee and shows what it gets; the status. */
static unused int next(const char *name, pid_t pid)
{
	int status = -1;
	pid_t got = waitpid(pid, &status, __WALL);
	if (got < 0)
		printf("%s: %s\n", name, error_name(errno));
	else
		printf("%s: %s\n", name, status_text(status));
	return status;
}

static unused int continue_with(pid_t pid, int signal)
{
	return (int)request(PTRACE_CONT, pid, 0, (unsigned long)signal);
}

static unused void show_siginfo(const char *name, pid_t pid, pid_t sender)
{
	siginfo_t info;
	memset(&info, 0xee, sizeof(info));
	if (request(PTRACE_GETSIGINFO, pid, 0, (unsigned long)&info))
		printf("%s: %s\n", name, error_name(errno));
	else
		printf("%s: signo %d errno %d code %#x pid %s\n", name, info.si_signo, info.si_errno, info.si_code,
		       info.si_pid == sender ? "sender" : info.si_pid == getpid() ? "tracer" : info.si_pid == pid ? "tracee" : info.si_pid == 0 ? "0" : "other");
}

/* One line of /proc/PID/status. */
static unused void show_status(const char *name, pid_t pid, const char *key)
{
	char path[40], line[256];
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	FILE *f = fopen(path, "r");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, key, strlen(key)))
			printf("%s: %s", name, line);
	if (f)
		fclose(f);
}

static unused unsigned long event_message(pid_t pid)
{
	unsigned long message = 0xdead;
	if (request(PTRACE_GETEVENTMSG, pid, 0, (unsigned long)&message))
		printf("GETEVENTMSG: %s\n", error_name(errno));
	return message;
}

/* A child that is traced and has stopped itself; the block runs after that. */
#define traced_child(...)                          \
	({                                         \
		fflush(stdout);                    \
		pid_t child_ = fork();             \
		if (child_ == 0) {                 \
			ptrace(PTRACE_TRACEME);    \
			raise(SIGSTOP);            \
			__VA_ARGS__;               \
			_exit(0);                  \
		}                                  \
		int status_;                       \
		waitpid(child_, &status_, 0);      \
		child_;                            \
	})

#endif
